"""All routes of the control API."""

from flask import Blueprint

from pyvol.api.v1 import adopt, doctor, events, jobs, trash, usage, volumes
from pyvol.core.service import Service
from pyvol.core.status.events import Events


def control_api(core: Service, happened: Events) -> tuple[Blueprint, ...]:
    """Return the routes, one blueprint for each resource."""
    return (
        volumes.blueprint(core.volumes, core.volume_status, core.renamer),
        trash.blueprint(core.volumes, core.volume_status, core.trash, core.jobs),
        adopt.blueprint(core.adopter, core.jobs),
        usage.blueprint(core.usages, core.jobs),
        events.blueprint(happened),
        jobs.blueprint(core.jobs),
        doctor.blueprint(core.doctor),
    )
