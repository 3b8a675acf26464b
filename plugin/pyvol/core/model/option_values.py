"""Read the value of a driver option: each function takes a text and returns a value, or raises `BadValue`."""

from collections.abc import Callable, Collection
from enum import StrEnum
from typing import NamedTuple, Protocol, TypeVar

from pyvol.core.errors import BadValue
from pyvol.core.model import mount_spec
from pyvol.core.model.volume import DEFAULT_POOL

Word = TypeVar("Word", bound=StrEnum)

MAX_ID = 2**32 - 2
RESERVED = frozenset({"volumes", "trash", "staging", "snapshots", "locks", "mounts", "pools"})
"""The names of pyvol's own directories in a pool."""
STATE = ("pyvol.", "usage.db", "keeper.sock")
"""How the names of pyvol's own files begin; they are in the pool's root if that is also the state directory.

`keeper.sock` is the socket of the fd store.
"""


class Accounts(Protocol):
    """This host's users and groups, by name."""

    def uid(self, name: str) -> int:
        """Return the number of a user, or raise KeyError."""
        ...

    def gid(self, name: str) -> int:
        """Return the number of a group, or raise KeyError."""
        ...


class NoNames:
    """No accounts at all, for options that were read from a disk: they have numbers only."""

    def uid(self, name: str) -> int:
        """See `Accounts`."""
        raise KeyError(name)

    def gid(self, name: str) -> int:
        """See `Accounts`."""
        raise KeyError(name)


class Context(NamedTuple):
    """The facts about this host that the functions need."""

    pools: Collection[str]
    accounts: Accounts
    default_pool: str = DEFAULT_POOL


def read_pool(text: str, context: Context) -> str:
    """Return the name of a pool of this host."""
    if text not in context.pools:
        raise BadValue(f"there is no pool {text!r}", f"use a pool of the settings: {', '.join(sorted(context.pools))}")
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
            raise BadValue(f"{text} is too large", f"use a number of at most {MAX_ID}")
        return number
    try:
        return find(text)
    except KeyError:
        raise BadValue(f"this host has no {kind} {text!r}", "use the number") from None


def read_mode(text: str, _: Context) -> int:
    """Return the bits of a mode that is written in octal digits."""
    if not 1 <= len(text) <= 5 or not text.isascii() or set(text) - set("01234567"):  # noqa: PLR2004  # 0 and 4 digits
        raise BadValue(f"{text!r} is not a mode", "use octal digits, for example 0750; in YAML put quotes around them")
    mode = int(text, 8)
    if mode > 0o7777:  # noqa: PLR2004  # all bits of a mode
        raise BadValue(f"{text} is too large", "use a mode of at most 7777")
    return mode


def read_path(text: str, _: Context) -> str:
    """Return an absolute path."""
    if not text.startswith("/"):
        raise BadValue(f"{text!r} is not an absolute path", "start the path with /")
    if not text.isprintable():
        raise BadValue(f"{text!r} contains characters that cannot be displayed", "rename the directory")
    return text


def read_text(text: str, _: Context) -> str:
    """Return a text that mount(8) gets as it is."""
    if not text or not text.isprintable() or text.startswith("-"):
        raise BadValue(f"mount(8) does not accept {mount_spec.redact(text)!r}", "see mount(8)")
    return text


def one_of(words: type[Word]) -> Callable[[str, Context], Word]:
    """Return a function that reads one of these words."""

    def read(text: str, _: Context) -> Word:
        try:
            return words(text)
        except ValueError:
            raise BadValue(f"{text!r} is not one of the possible values", f"use one of {', '.join(words)}") from None

    return read


def read_subdir(text: str, _: Context) -> str:
    """Return a path below a pool's root, without slashes around it."""
    names = text.strip("/").split("/")
    own = names[0] in RESERVED or names[0].startswith(STATE)
    if not text.isprintable() or set(names) & {"", ".", ".."} or own:
        raise BadValue(
            f"{text!r} is not a directory that volumes of this pool can have", "use, for example, team-a/{name}"
        )
    if set("{}") & set(text.replace("{name}", "")):
        raise BadValue(
            f"{text!r} contains braces that are not part of {{name}}", "only {name} is replaced, by the volume's name"
        )
    return "/".join(names)


def read_flag(text: str, _: Context) -> bool:
    """Return True or False for a text that means it."""
    # `-o protect` arrives as an empty value.
    flags = {"": True, "true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in flags:
        raise BadValue(f"{text!r} is neither true nor false", "use true or false")
    return flags[text.lower()]


def show_flag(flag: bool) -> str:  # noqa: FBT001  # a column of the table
    """Return a flag as a user would write it."""
    return "true" if flag else "false"
