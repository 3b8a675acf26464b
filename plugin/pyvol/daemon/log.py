"""The log: one line an event on stdout, for people or as JSON. Managed plugins have no other place (engine fact 41)."""

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec

from pyvol.core.ports.host import Log

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
COLOURS = {"debug": "2", "info": "32", "warning": "33", "error": "31"}


def configure(level: str, form: str) -> Log:
    """Set up logging for this process, and return the journal that writes to it."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JsonLine() if form == "json" else _ConsoleLine(colours=sys.stdout.isatty()))
    logging.basicConfig(level=LEVELS[level], handlers=[handler], force=True)
    return _StandardLog(logging.getLogger("pyvol"))


class _StandardLog:
    """The standard library's logger, with facts. Implements `pyvol.core.ports.host.Log`."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def debug(self, event: str, **facts: Any) -> None:
        self._write(logging.DEBUG, event, facts)

    def info(self, event: str, **facts: Any) -> None:
        self._write(logging.INFO, event, facts)

    def warning(self, event: str, *, exc_info: BaseException | None = None, **facts: Any) -> None:
        self._write(logging.WARNING, event, facts, exc_info)

    def _write(self, level: int, event: str, facts: dict[str, Any], error: BaseException | None = None) -> None:
        self._logger.log(level, "%s", event, extra={"facts": facts}, exc_info=error)


class _Line(logging.Formatter):
    """What both forms have in common: when, how grave, what, and the facts."""

    def parts(self, record: logging.LogRecord) -> tuple[str, str, str, dict[str, Any]]:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        facts = dict(getattr(record, "facts", {"logger": record.name}))
        if record.exc_info:
            facts["traceback"] = self.formatException(record.exc_info)
        return moment, record.levelname.lower(), record.getMessage(), facts


class _JsonLine(_Line):
    def format(self, record: logging.LogRecord) -> str:
        moment, level, event, facts = self.parts(record)
        facts = {key: _encodable(value) for key, value in facts.items()}
        line = {"timestamp": moment, "level": level, "event": event, **facts}
        return msgspec.json.encode(line, enc_hook=str).decode()


class _ConsoleLine(_Line):
    def __init__(self, *, colours: bool) -> None:
        super().__init__()
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        moment, level, event, facts = self.parts(record)
        traceback = facts.pop("traceback", "")
        told = " ".join(f"{key}={_quoted(value)}" for key, value in facts.items())
        padded = f"{level:<7}"
        shown = f"\x1b[{COLOURS.get(level, '0')}m{padded}\x1b[0m" if self._colours else padded
        return f"{moment} {shown} {event}" + (f"  {told}" if told else "") + (f"\n{traceback}" if traceback else "")


def _encodable(value: Any) -> Any:
    """Return a fact with the bytes of a file's name that are no UTF-8 escaped: JSON and a terminal take none."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def _quoted(value: object) -> str:
    """Return a fact as text; in quotes where it would not be read as one word, so that no line can be forged."""
    if isinstance(value, dict):
        text = " ".join(f"{key}={one}" for key, one in value.items())
    elif isinstance(value, datetime):
        text = value.isoformat(timespec="seconds").replace("+00:00", "Z")
    else:
        text = str(value)
    text = str(_encodable(text))
    return text if text.isprintable() and text and not set(text) & set(" \"'=") else msgspec.json.encode(text).decode()
