"""What an engine asked of the plugin: one call as it went over the wire, and a list of them told as a story."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

# The letters of the contract's own notation: G C G M(a) U(a) reads as a sentence.
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
    """One request and its reply, byte for byte; what the recorder answered itself was not asked of pyvol."""

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
        """The verb without its family: Mount, Get, Activate."""
        return self.path.rpartition(".")[2]

    @property
    def asked(self) -> dict[str, Any]:
        """The decoded request; an empty body asks nothing."""
        decoded: dict[str, Any] = json.loads(self.body) if self.body.strip() else {}
        return decoded

    @property
    def volume(self) -> str:
        """The volume it is about."""
        name: str = self.asked.get("Name", "")
        return name

    @property
    def mount_id(self) -> str:
        """The engine's mount ID, of a Mount or an Unmount."""
        mount_id: str = self.asked.get("ID", "")
        return mount_id

    @property
    def answered(self) -> dict[str, Any]:
        """The decoded reply."""
        decoded: dict[str, Any] = json.loads(self.reply) if self.reply.strip() else {}
        return decoded

    @property
    def error(self) -> str:
        """The error that it was answered with."""
        error: str = self.answered.get("Err", "")
        return error

    @property
    def done(self) -> bool:
        """Whether a reply came back."""
        return self.status is not None


@dataclass(frozen=True)
class Event:
    """Something that happened to the plugin between two calls."""

    what: str


class Story(list[Call]):
    """Calls in the order of their arrival."""

    def of(self, *verbs: str) -> Story:
        """Only the calls of these verbs."""
        return Story(call for call in self if call.verb in verbs)

    def about(self, volume: str) -> Story:
        """Only the calls that name this volume."""
        return Story(call for call in self if call.volume == volume)

    def times(self, verb: str) -> int:
        """Count the calls of a verb."""
        return len(self.of(verb))

    def told(self) -> str:
        """Tell the calls in the contract's notation, mount IDs as letters, failed calls with an exclamation mark."""
        letters: dict[str, str] = {}
        return " ".join(tell(call, letters) for call in self)

    def changes(self) -> str:
        """Tell only what changes something: each Mount and Unmount has its Get before it, which says nothing new."""
        return self.of("Create", "Mount", "Unmount", "Remove").told()


def tell(call: Call, letters: dict[str, str]) -> str:
    """Tell one call, giving a new mount ID the next letter."""
    word = LETTERS.get(call.verb, call.path)
    if call.verb in {"Mount", "Unmount"}:
        letter = letters.setdefault(call.mount_id, ascii_lowercase[len(letters) % 26]) if call.mount_id else ""
        word += f"({letter})"
    if not call.done:
        return f"{word}?"
    return f"{word}!" if call.error or call.status != 200 else word


def gather(entries: Iterable[Call | Event]) -> Story:
    """Leave the events out."""
    return Story(entry for entry in entries if isinstance(entry, Call))
