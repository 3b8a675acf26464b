"""The calls that an engine makes to the plugin: one call as bytes, and many calls in short notation."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

# The letters of the notation: `G C G M(a) U(a)` is Get, Create, Get, Mount, Unmount.
LETTERS = {
    "Activate": "A",
    "Capabilities": "K",
    "Create": "C",
    "Get": "G",
    "List": "L",
    "Mount": "M",
    "Path": "P",
    "Remove": "R",
    "Unmount": "U",
}


@dataclass
class Call:
    """One request and its reply, byte for byte; `asked_pyvol` is false if the recorder itself answered."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes
    status: int | None = None
    reply_headers: list[tuple[str, str]] = field(default_factory=list)
    reply: bytes = b""
    asked_pyvol: bool = True

    @property
    def verb(self) -> str:
        """The verb without the name of its interface, for example Mount, Get or Activate."""
        return self.path.rpartition(".")[2]

    @property
    def asked(self) -> dict[str, Any]:
        """The decoded request; an empty dict for an empty body."""
        decoded: dict[str, Any] = json.loads(self.body) if self.body.strip() else {}
        return decoded

    @property
    def volume(self) -> str:
        """The name of the volume in the request, or an empty string."""
        name: str = self.asked.get("Name", "")
        return name

    @property
    def mount_id(self) -> str:
        """The engine's mount ID in a Mount or an Unmount, or an empty string."""
        mount_id: str = self.asked.get("ID", "")
        return mount_id

    @property
    def answered(self) -> dict[str, Any]:
        """The decoded reply."""
        decoded: dict[str, Any] = json.loads(self.reply) if self.reply.strip() else {}
        return decoded

    @property
    def error(self) -> str:
        """The error message in the reply, or an empty string."""
        error: str = self.answered.get("Err", "")
        return error

    @property
    def done(self) -> bool:
        """Whether a reply was sent."""
        return self.status is not None


@dataclass(frozen=True)
class Event:
    """An event, such as a kill of the plugin, between two calls."""

    what: str


class Calls(list[Call]):
    """Calls in the order of their arrival."""

    def of(self, *verbs: str) -> Calls:
        """Return only the calls of these verbs."""
        return Calls(call for call in self if call.verb in verbs)

    def about(self, volume: str) -> Calls:
        """Return only the calls that name this volume."""
        return Calls(call for call in self if call.volume == volume)

    def times(self, verb: str) -> int:
        """Count the calls of a verb."""
        return len(self.of(verb))

    def notation(self) -> str:
        """Return the calls in short notation, with letters as mount IDs, and `!` after a failed call."""
        letters: dict[str, str] = {}
        return " ".join(write_call(call, letters) for call in self)

    def changes(self) -> str:
        """Return only the calls that change state, in short notation, without the Get before each of them."""
        return self.of("Create", "Mount", "Unmount", "Remove").notation()


def write_call(call: Call, letters: dict[str, str]) -> str:
    """Return one call in short notation; give a new mount ID the next letter."""
    word = LETTERS.get(call.verb, call.path)
    if call.verb in {"Mount", "Unmount"}:
        letter = letters.setdefault(call.mount_id, ascii_lowercase[len(letters) % 26]) if call.mount_id else ""
        word += f"({letter})"
    if not call.done:
        return f"{word}?"
    return f"{word}!" if call.error or call.status != 200 else word


def gather(entries: Iterable[Call | Event]) -> Calls:
    """Return the calls without the events."""
    return Calls(entry for entry in entries if isinstance(entry, Call))
