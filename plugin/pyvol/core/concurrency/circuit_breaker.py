"""The circuit breaker of one server: while it does not answer, nobody waits to find that out once more."""

from typing import TYPE_CHECKING

from pyvol.core.ports.host import Clock

if TYPE_CHECKING:
    from datetime import datetime


BACK = "bring the server or the network back; pyvol goes on by itself then"


class Breaker:
    """What is known of a server; it is taken to answer until it didn't.

    Args:
        server: its name, for the sentence.
        clock: the time.

    Attributes:
        is_open: it does not answer.
        since: since when it is as it is; None before it was first asked.
        error: the last error while it does not answer.
        hint: what to do about that.
        latency_s: how long the last answer took.
        asked: when it was last asked.
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
        """Note an answer; tell whether the server had been down."""
        was_down = self.is_open
        self.asked = self._clock()
        if was_down or self.since is None:
            self.since = self.asked
        self.is_open, self.error, self.latency_s = False, "", latency_s
        return was_down

    def failed(self, error: str, hint: str = BACK) -> bool:
        """Note that there was no answer; tell whether that is news."""
        was_up = not self.is_open
        self.asked = self._clock()
        if was_up:
            self.since = self.asked
        self.is_open, self.error, self.hint = True, error, hint
        return was_up

    def summary(self) -> str:
        """Return what is known in a few words: ``nas.lan does not answer (since 12:04:31, last error …)``."""
        since = f"{self.since:%H:%M:%S} UTC" if self.since else "now"
        if self.is_open:
            return f"{self._server} does not answer (since {since}, last error: {self.error})"
        if self.latency_s is None:
            return f"{self._server} has not been asked yet"
        return f"{self._server} answers (since {since}, last in {self.latency_s * 1000:.1f} ms)"
