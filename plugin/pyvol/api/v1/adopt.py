"""Routes of the control API that make volumes of what exists."""

from flask import Blueprint, Response

from pyvol.api.codec import decode, encode, to_json
from pyvol.api.v1.jobs import start
from pyvol.api.v1.schema import adopt as schema
from pyvol.core.concurrency.jobs import Jobs
from pyvol.core.lifecycle.adopt import ADOPT, Adopter
from pyvol.core.model.adoption import Asked, Kind, Plan


def blueprint(adopting: Adopter, jobs: Jobs) -> Blueprint:
    """Return the routes."""
    routes = Blueprint("adoption", __name__, url_prefix="/v1/adopt")

    @routes.get("")
    def adoptable() -> Response:
        return encode([*map(_info, adopting.strays())])

    @routes.post("/plan")
    def plan() -> Response:
        return encode(_info(adopting.plan(_asked(decode(schema.Adopt)))))

    @routes.post("")
    def adopt() -> Response:
        asked = _asked(decode(schema.Adopt))
        planned = adopting.plan(asked)
        return start(jobs, ADOPT, asked.name, lambda task: to_json(_info(adopting.adopt(planned, asked.options, task))))

    return routes


def _asked(message: schema.Adopt) -> Asked:
    return Asked(message.name, Kind(message.kind), message.options, message.source)


def _info(plan: Plan) -> schema.AdoptPlan:
    kind, how = schema.AdoptKind(plan.kind), schema.AdoptMethod(plan.how)
    return schema.AdoptPlan(plan.name, kind, how, plan.pool, plan.source)
