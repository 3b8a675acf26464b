"""The circuit breaker of one server: while the server does not answer, requests fail at once."""

from typing import TYPE_CHECKING

from pyvol.core.ports.host import Clock

if TYPE_CHECKING:
    from datetime import datetime


BACK = "bring the server or the network back; pyvol then continues by itself"


class Breaker:
    """What pyvol knows of a server. It counts as answering until a request fails.

    Args:
        server: the name of the server, for messages.
        clock: the time.

    Attributes:
        is_open: the server does not answer.
        since: the time of the last change of `is_open`; None before the first request.
        error: the last error while the server does not answer.
        hint: what to do about the error.
        latency_s: how long the last answer took.
        asked: the time of the last request.
    """

    def __init__(self, server: str, clock: Clock) -> None:
        self._server = server
        self._clock = clock
        self.is_open = False
        self.since: datetime | None = None
        self.error = ""
        self.hint = BACK
        self.latency_s: float | None = None
        self.asked: datetime | None = None

    def answered(self, latency_s: float) -> bool:
        """Record an answer. Return whether the server had been down."""
        was_down = self.is_open
        self.asked = self._clock()
        if was_down or self.since is None:
            self.since = self.asked
        self.is_open, self.error, self.latency_s = False, "", latency_s
        return was_down

    def failed(self, error: str, hint: str = BACK) -> bool:
        """Record that no answer came. Return whether the server had been up."""
        was_up = not self.is_open
        self.asked = self._clock()
        if was_up:
            self.since = self.asked
        self.is_open, self.error, self.hint = True, error, hint
        return was_up

    def summary(self) -> str:
        """Return the state in a few words: ``nas.lan does not answer (since 12:04:31, last error …)``."""
        since = f"{self.since:%H:%M:%S} UTC" if self.since else "now"
        if self.is_open:
            return f"{self._server} does not answer (since {since}, last error: {self.error})"
        if self.latency_s is None:
            return f"{self._server} has not been asked yet"
        return f"{self._server} answers (since {since}, last in {self.latency_s * 1000:.1f} ms)"
