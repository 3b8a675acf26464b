"""The log: one line for each event on stdout, for people or as JSON.

A managed plugin has no other place (fact 41).
"""

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec

from pyvol.core.ports.host import Log

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
COLOURS = {"debug": "2", "info": "32", "warning": "33", "error": "31"}


def configure(level: str, form: str) -> Log:
    """Set up logging for this process, and return the log that writes to it."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JsonLine() if form == "json" else _ConsoleLine(colours=sys.stdout.isatty()))
    logging.basicConfig(level=LEVELS[level], handlers=[handler], force=True)
    return _StandardLog(logging.getLogger("pyvol"))


class _StandardLog:
    """The standard library's logger, with facts. Implements `pyvol.core.ports.host.Log`."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def debug(self, event: str, **facts: Any) -> None:
        self._logger.debug("%s", event, extra={"facts": facts})

    def info(self, event: str, **facts: Any) -> None:
        self._logger.info("%s", event, extra={"facts": facts})

    def warning(self, event: str, *, exc_info: BaseException | None = None, **facts: Any) -> None:
        self._logger.warning("%s", event, extra={"facts": facts}, exc_info=exc_info)


class _Line(logging.Formatter):
    """What both forms share: the time, the level, the event and its facts."""

    def parts(self, record: logging.LogRecord) -> tuple[str, str, str, dict[str, Any]]:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        facts = dict(getattr(record, "facts", {"logger": record.name}))
        if record.exc_info:
            facts["traceback"] = self.formatException(record.exc_info)
        return moment, record.levelname.lower(), record.getMessage(), facts


class _JsonLine(_Line):
    def format(self, record: logging.LogRecord) -> str:
        moment, level, event, facts = self.parts(record)
        facts = {key: _escaped(fact) if isinstance(fact, str) else fact for key, fact in facts.items()}
        line = {"timestamp": moment, "level": level, "event": event, **facts}
        return msgspec.json.encode(line, enc_hook=str).decode()


class _ConsoleLine(_Line):
    def __init__(self, *, colours: bool) -> None:
        super().__init__()
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        moment, level, event, facts = self.parts(record)
        traceback = facts.pop("traceback", "")
        words = [f"{key}={_quoted(fact)}" for key, fact in facts.items()]
        padded = f"{level:<7}"
        shown = f"\x1b[{COLOURS.get(level, '0')}m{padded}\x1b[0m" if self._colours else padded
        line = f"{moment} {shown} {event}" + (f"  {' '.join(words)}" if words else "")
        return f"{line}\n{traceback}" if traceback else line


def _escaped(text: str) -> str:
    """Return text with bytes that are not UTF-8 escaped: JSON and terminals cannot have them."""
    return text.encode("utf-8", "backslashreplace").decode()


def _quoted(fact: object) -> str:
    """Return a fact as text; in quotes unless it reads as one word, so that no fact can forge a line."""
    match fact:
        case dict():
            text = " ".join([f"{key}={one}" for key, one in fact.items()])
        case datetime():
            text = fact.isoformat(timespec="seconds").replace("+00:00", "Z")
        case _:
            text = str(fact)
    if text.isprintable() and text and not set(text) & set(" \"'="):
        return text
    return msgspec.json.encode(_escaped(text)).decode()
