"""A container that writes without end, and a check that no number that it wrote is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deadline import await_true

if TYPE_CHECKING:
    from .machine import Machine

COUNTING = "i=0; while :; do i=$((i+1)); echo $i >> /data/numbers; usleep 10000; done"


class Writer:
    """Counts into a file of its volume; the test reads the file on the host, in pyvol's pool."""

    def __init__(self, machine: Machine, container: str, volume: str) -> None:
        """Start the container and wait for its first number."""
        self._numbers = machine.data(volume) / "numbers"
        machine.launch(container, "--volume-driver", "pyvol", "-v", f"{volume}:/data", script=COUNTING)
        self.await_more()

    def read(self) -> list[int]:
        """Return the numbers of all complete lines."""
        if not self._numbers.exists():
            return []
        return [int(line) for line in self._numbers.read_text().split("\n")[:-1]]

    def await_more(self) -> None:
        """Wait until the container has written more numbers."""
        known = len(self.read())
        await_true(lambda: len(self.read()) > known + 3, "the container to write more")

    def check(self) -> None:
        """Check that no number is missing and that none is there twice."""
        numbers = self.read()
        assert numbers == list(range(1, len(numbers) + 1))
