"""The log: one line an event on stdout, for people or as JSON. Managed plugins have no other place (engine fact 41)."""

import logging
import sys
from typing import Any

import structlog

from pyvol.core.ports import Journal


def configure(level: str, form: str) -> Journal:
    """Set up structlog for this process, and return the journal that writes to it."""
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty(), pad_event_to=0)
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    logger: Journal = structlog.get_logger()
    return logger
