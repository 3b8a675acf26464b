"""How the value of a driver option is read: a text and what this host says to it, in; a value, or ValueError, out."""

from collections.abc import Callable, Collection
from enum import StrEnum
from typing import NamedTuple, Protocol, TypeVar

from pyvol.core.model import mount_spec
from pyvol.core.model.volume import DEFAULT_POOL

Word = TypeVar("Word", bound=StrEnum)

MAX_ID = 2**32 - 2
RESERVED = frozenset({"volumes", "trash", "staging", "snapshots", "locks", "mounts", "pools"})
"""What pyvol calls its own directories in a pool."""
STATE = ("pyvol.", "usage.db", "keeper.sock")
"""How the names of its own files begin, which lie beside them where the state directory is the pool's."""


class Accounts(Protocol):
    """This host's users and groups, by name."""

    def uid(self, name: str) -> int:
        """Return the number of a user, or raise KeyError."""
        ...

    def gid(self, name: str) -> int:
        """Return the number of a group, or raise KeyError."""
        ...


class NoNames:
    """No host's accounts: what stands on a disk are numbers."""

    def uid(self, name: str) -> int:
        """See `Accounts`."""
        raise KeyError(name)

    def gid(self, name: str) -> int:
        """See `Accounts`."""
        raise KeyError(name)


class Context(NamedTuple):
    """What the parsers may ask of this host."""

    pools: Collection[str]
    accounts: Accounts
    default_pool: str = DEFAULT_POOL


def read_pool(text: str, context: Context) -> str:
    """Return the name of a pool of this host."""
    if text not in context.pools:
        raise ValueError(f"there is no pool {text!r}: the settings have {', '.join(sorted(context.pools))}")
    return text


def read_uid(text: str, context: Context) -> int:
    """Return the number of a user."""
    return _account(text, context.accounts.uid, "user")


def read_gid(text: str, context: Context) -> int:
    """Return the number of a group."""
    return _account(text, context.accounts.gid, "group")


def _account(text: str, find: Callable[[str], int], kind: str) -> int:
    if text.isascii() and text.isdigit():
        number = int(text) if len(text) <= len(str(MAX_ID)) else MAX_ID + 1
        if number > MAX_ID:
            raise ValueError(f"{text} is too large, a {kind} is at most {MAX_ID}")
        return number
    try:
        return find(text)
    except KeyError:
        raise ValueError(f"this host has no {kind} {text!r}, give its number") from None


def read_mode(text: str, _: Context) -> int:
    """Return the bits of a mode that is written in octal digits."""
    if not 1 <= len(text) <= 5 or not text.isascii() or set(text) - set("01234567"):  # noqa: PLR2004  # 0 and 4 digits
        raise ValueError(f"{text!r} is no mode, write octal digits such as 0750, in YAML with quotes")
    mode = int(text, 8)
    if mode > 0o7777:  # noqa: PLR2004  # all bits of a mode
        raise ValueError(f"{text} is too large, a mode is at most 7777")
    return mode


def read_path(text: str, _: Context) -> str:
    """Return an absolute path."""
    if not text.startswith("/"):
        raise ValueError(f"{text!r} is no absolute path, begin it with /")
    if not text.isprintable():
        raise ValueError(f"{text!r} holds what cannot be shown: give the directory another name")
    return text


def read_text(text: str, _: Context) -> str:
    """Return what goes to mount(8) as it is."""
    if not text or not text.isprintable() or text.startswith("-"):
        raise ValueError(f"{mount_spec.redact(text)!r} is not what mount(8) takes")
    return text


def one_of(words: type[Word]) -> Callable[[str, Context], Word]:
    """Return what reads one of some words."""

    def read(text: str, _: Context) -> Word:
        try:
            return words(text)
        except ValueError:
            raise ValueError(f"{text!r} is none of {', '.join(words)}") from None

    return read


def read_subdir(text: str, _: Context) -> str:
    """Return a path below a pool's root, without slashes around it."""
    names = text.strip("/").split("/")
    own = names[0] in RESERVED or names[0].startswith(STATE)
    if not text.isprintable() or set(names) & {"", ".", ".."} or own:
        raise ValueError(f"{text!r} is no directory below the pool's that is for volumes, such as team-a/{{name}}")
    if set("{}") & set(text.replace("{name}", "")):
        raise ValueError(f"{text!r} has braces that mean nothing: only {{name}} is replaced, by the volume's name")
    return "/".join(names)


def read_flag(text: str, _: Context) -> bool:
    """Return whether something is asked for."""
    # `-o protect` arrives as an empty value.
    flags = {"": True, "true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in flags:
        raise ValueError(f"{text!r} is neither true nor false")
    return flags[text.lower()]


def show_flag(flag: bool) -> str:  # noqa: FBT001  # a column of the table
    """Return a flag as a user would write it."""
    return "true" if flag else "false"
