"""Driver options: one table says what each is called, takes and means; everything else reads it.

The engine checks neither keys nor values and sends strings alone (engine fact 18). Podman echoes what stands in
``-o o=uid=1000`` once more in capitals (engine fact 17).
"""

import difflib
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple, Protocol

import msgspec

from pyvol.core import exports
from pyvol.core.errors import BadOption, OptionHelp
from pyvol.core.model import DEFAULT_POOL, Access, MountType, OnRemove, VolumeSpec


class Accounts(Protocol):
    """This host's users and groups, by name."""

    def uid(self, name: str) -> int:
        """Return the number of a user, or raise KeyError."""
        ...

    def gid(self, name: str) -> int:
        """Return the number of a group, or raise KeyError."""
        ...


class _NoNames:
    """No host's accounts: what stands on a disk are numbers."""

    def uid(self, name: str) -> int:
        raise KeyError(name)

    def gid(self, name: str) -> int:
        raise KeyError(name)


class Context(NamedTuple):
    """What the parsers may ask of this host."""

    pools: Collection[str]
    accounts: Accounts
    default_pool: str = DEFAULT_POOL


class Difference(msgspec.Struct, frozen=True):
    """An option that a volume has otherwise than it is asked for; None: it is not set."""

    option: str
    held: str | None
    asked: str | None
    mutable: bool


class Option(NamedTuple):
    """One row of the table."""

    key: str
    takes: str
    help: str
    parse: Callable[[str, Context], Any]
    show: Callable[[Any], str] = str
    mutable: bool = False


MAX_ID = 2**32 - 2
RESERVED = frozenset({"volumes", "trash", "staging", "snapshots", "locks", "mounts", "pools"})
"""What pyvol calls its own directories in a pool."""
ECHOES = frozenset({"UID", "GID", "SIZE", "INODES", "NOQUOTA"})
"""What Podman takes out of `o`, and sends once more (engine fact 17)."""


def _pool(text: str, context: Context) -> str:
    if text not in context.pools:
        raise ValueError(f"there is no pool {text!r}, pyvol.toml has {', '.join(sorted(context.pools))}")
    return text


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


def _mode(text: str, _: Context) -> int:
    if not 1 <= len(text) <= 5 or not text.isascii() or set(text) - set("01234567"):  # noqa: PLR2004  # 0 and 4 digits
        raise ValueError(f"{text!r} is no mode, write octal digits such as 0750")
    mode = int(text, 8)
    if mode > 0o7777:  # noqa: PLR2004  # all bits of a mode
        raise ValueError(f"{text} is too large, a mode is at most 7777")
    return mode


def _path(text: str, _: Context) -> str:
    if not text.startswith("/"):
        raise ValueError(f"{text!r} is no absolute path, begin it with /")
    if not text.isprintable():
        raise ValueError(f"{text!r} holds what cannot be shown: give the directory another name")
    return text


def _on_remove(text: str, _: Context) -> OnRemove:
    try:
        return OnRemove(text)
    except ValueError:
        raise ValueError(f"{text!r} is none of {', '.join(OnRemove)}") from None


def _type(text: str, _: Context) -> MountType:
    try:
        return MountType(text)
    except ValueError:
        raise ValueError(f"{text!r} is none of {', '.join(MountType)}") from None


def _text(text: str, _: Context) -> str:
    if not text or not text.isprintable() or text.startswith("-"):
        raise ValueError(f"{exports.masked(text)!r} is not what mount(8) takes")
    return text


def _subdir(text: str, _: Context) -> str:
    names = text.strip("/").split("/")
    if not text.isprintable() or set(names) & {"", ".", ".."} or names[0] in RESERVED:
        raise ValueError(f"{text!r} is no directory below the pool's, such as team-a/{{name}}")
    if set("{}") & set(text.replace("{name}", "")):
        raise ValueError(f"{text!r} has braces that mean nothing: only {{name}} is replaced, by the volume's name")
    return "/".join(names)


def _access(text: str, _: Context) -> Access:
    try:
        return Access(text)
    except ValueError:
        raise ValueError(f"{text!r} is none of {', '.join(Access)}") from None


def _flag(text: str, _: Context) -> bool:
    # `-o protect` arrives as an empty value.
    flags = {"": True, "true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in flags:
        raise ValueError(f"{text!r} is neither true nor false")
    return flags[text.lower()]


def _shown_flag(flag: bool) -> str:  # noqa: FBT001  # a column of the table
    return "true" if flag else "false"


TABLE = (
    Option(
        "pool",
        "NAME",
        "the pool that keeps the volume, one of those in pyvol.toml; without it: that of the setting default_pool",
        _pool,
    ),
    Option(
        "uid",
        "NUMBER|USER",
        "owner of the volume's root directory, set again at each mount",
        lambda text, context: _account(text, context.accounts.uid, "user"),
        mutable=True,
    ),
    Option(
        "gid",
        "NUMBER|GROUP",
        "group of the volume's root directory, set again at each mount",
        lambda text, context: _account(text, context.accounts.gid, "group"),
        mutable=True,
    ),
    Option(
        "mode",
        "OCTAL",
        "mode of the volume's root directory, such as 0750, set again at each mount",
        _mode,
        lambda mode: f"{mode:04o}",
        mutable=True,
    ),
    Option(
        "path",
        "/DIRECTORY",
        "use this existing directory where it is; its content stays when the volume is removed",
        _path,
    ),
    Option(
        "on_remove",
        "|".join(OnRemove),
        "what removing does: trash (the default) can be undone until it expires, keep can be undone without a limit, "
        "delete is for good",
        _on_remove,
        mutable=True,
    ),
    Option(
        "protect",
        "true|false",
        "refuse to remove the volume; `pyvol set NAME protect=false` lifts it",
        _flag,
        _shown_flag,
        mutable=True,
    ),
    Option(
        "type",
        "|".join(MountType),
        "a mount of its own, as with Docker's local driver: what mount(8) is to mount; goes with device",
        _type,
    ),
    Option(
        "device",
        "DEVICE",
        "what is mounted: HOST:/PATH or :/PATH of an NFS server, tmpfs, or a directory for type=none",
        _text,
    ),
    Option(
        "o",
        "OPTION,...",
        "the mount's options, such as addr=nas.lan,vers=4.2; without type: other options of this list, with commas",
        _text,
        exports.masked,
    ),
    Option(
        "create",
        "true|false",
        "make the NFS export's path on the server where it is missing (the default)",
        _flag,
        _shown_flag,
    ),
    Option(
        "subdir",
        "DIRECTORY",
        "where in the pool the volume's files are, such as team-a/{name}: made where it is missing, and its content "
        "stays when the volume is removed",
        _subdir,
    ),
    Option(
        "access",
        "|".join(Access),
        "in an NFS pool: whether one host at a time may mount the volume, or any number (shared, the default)",
        _access,
    ),
)
BY_KEY = {option.key: option for option in TABLE}
UNSETTABLE = ("uid", "gid", "mode")
"""What `pyvol set NAME KEY=` makes as if it had never been given; the others have a value for that."""


def help_text() -> str:
    """Return what ``-o help`` shows: each option, what it takes, what it means."""
    width = max(len(f"{option.key}={option.takes}") for option in TABLE)
    rows = "\n".join(f"  {f'{option.key}={option.takes}':<{width}}  {option.help}" for option in TABLE)
    return f"pyvol takes these options (-o KEY=VALUE, or driver_opts in Compose):\n{rows}"


def parse(options: Mapping[str, str] | None, context: Context) -> VolumeSpec:
    """Turn an engine's ``Opts`` into a spec.

    Raises:
        OptionHelp: for ``-o help``.
        BadOption: an unknown key (the nearest known one is named), a value that is not taken, or a contradiction.
    """
    values = _values(_spread(options or {}), context)
    # A directory of this host and a mount of its own are for this host's own pool to remember.
    pool = DEFAULT_POOL if values.keys() & {"path", "type"} else context.default_pool
    return _consistent(msgspec.structs.replace(VolumeSpec(pool=pool), **values))


def change(spec: VolumeSpec, options: Mapping[str, str], context: Context) -> VolumeSpec:
    """Return the spec with some options changed; raises `BadOption` also for those that are for life."""
    fixed = [key for key in options if key in BY_KEY and not BY_KEY[key].mutable]
    if fixed:
        raise BadOption(f"{fixed[0]} is for life: create another volume with it, and copy the data")
    unset = {key: None for key, text in options.items() if not text and key in UNSETTABLE}
    given = {key: text for key, text in options.items() if key not in unset}
    return _consistent(msgspec.structs.replace(spec, **_values(given, context), **unset))


def check_read(spec: VolumeSpec) -> None:
    """Refuse what nobody could have asked for in a spec that stood on a disk; raises `BadOption`."""
    context = Context({spec.pool}, _NoNames())
    default = VolumeSpec(pool=spec.pool)
    for option in TABLE:
        value = getattr(spec, option.key)
        if value == getattr(default, option.key):
            continue
        try:
            same = option.parse(value if isinstance(value, str) else option.show(value), context) == value
        except ValueError as error:
            raise BadOption(f"option {option.key}: {error}") from None
        if not same:
            raise BadOption(f"option {option.key}: {value!r} is not as pyvol writes it")
    if _consistent(spec) != spec:
        raise BadOption("its options are not as pyvol writes them")


def shown(spec: VolumeSpec) -> dict[str, str]:
    """Return the options that differ from the defaults, as the user would write them."""
    default = VolumeSpec()
    return {
        option.key: option.show(value)
        for option in TABLE
        if (value := getattr(spec, option.key)) != getattr(default, option.key)
    }


def compare(existing: VolumeSpec, asked: VolumeSpec) -> tuple[Difference, ...]:
    """Return where two specs differ."""

    def one(option: Option, value: Any) -> str | None:
        return None if value is None else option.show(value)

    values = [(option, getattr(existing, option.key), getattr(asked, option.key)) for option in TABLE]
    return tuple(
        Difference(option.key, one(option, old), one(option, new), option.mutable)
        for option, old, new in values
        if old != new
    )


def differences(existing: VolumeSpec, asked: VolumeSpec) -> str:
    """Return where two specs differ, for a person: ``mode is 0750, asked for 0700``."""
    return ", ".join(
        f"{found.option} is {found.held or 'not set'}, asked for {found.asked or 'not set'}"
        for found in compare(existing, asked)
    )


def _consistent(spec: VolumeSpec) -> VolumeSpec:
    if spec.subdir is not None:
        for key in ("path", "type"):
            if getattr(spec, key) is not None:
                raise BadOption(f"subdir= and {key}= contradict: a volume is in one place, leave out one of them")
        if spec.on_remove is OnRemove.DELETE:
            raise BadOption("subdir= and on_remove=delete contradict: what is there always stays, leave out one")
    if spec.path is not None and spec.on_remove is OnRemove.DELETE:
        raise BadOption(
            "path= and on_remove=delete contradict: the content of a path always stays, leave out one of them"
        )
    return exports.consistent(spec)


def _values(options: Mapping[str, str], context: Context) -> dict[str, Any]:
    values = {}
    for key, text in options.items():
        option = BY_KEY.get(key)
        if option is None:
            raise _unknown(key)
        try:
            values[key] = option.parse(text, context)
        except ValueError as error:
            raise BadOption(f"option {key}: {error}") from None
    return values


def _spread(options: Mapping[str, str]) -> dict[str, str]:
    """Take apart ``o=uid=1000,gid=1000``, which with a type is the mount's; and drop Podman's echoes of it."""
    if "help" in options:
        raise OptionHelp(help_text())
    if "type" in options or "device" in options:
        theirs = {part.partition("=")[::2] for part in options.get("o", "").split(",")}
        return {
            key: text
            for key, text in options.items()
            if not (key in ECHOES and (key.lower(), text) in theirs) and not (key == "o" and not text)
        }
    spread = {key: text for key, text in options.items() if key != "o"}
    for part in filter(None, options.get("o", "").split(",")):
        key, _, text = part.partition("=")
        if spread.get(key, text) != text:
            raise BadOption(
                f"option {key} is given twice, as {spread[key]!r} and in o={exports.masked(part)!r}: keep one of them"
            )
        spread[key] = text
    echoes = [key for key in spread if key.isupper() and spread.get(key.lower()) == spread[key]]
    return {key: text for key, text in spread.items() if key not in echoes}


def _unknown(key: str) -> BadOption:
    shown_key = key if len(key) <= 40 else key[:40] + "…"  # noqa: PLR2004  # enough to recognise a typo
    near = difflib.get_close_matches(key.lower(), BY_KEY, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return BadOption(f"unknown option {shown_key!r}: {hint}pyvol knows {', '.join(BY_KEY)} (see `-o help`)")
