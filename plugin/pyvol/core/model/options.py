"""Driver options: one table says what each is called, takes and means; everything else reads it.

The engine checks neither keys nor values and sends strings alone (engine fact 18). Podman echoes what stands in
``-o o=uid=1000`` once more in capitals (engine fact 17).
"""

import difflib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from pyvol.core.errors import BadOption, OptionHelp
from pyvol.core.model import mount_spec, option_values
from pyvol.core.model.option_values import Context, NoNames
from pyvol.core.model.volume import DEFAULT_POOL, Access, MountType, OnRemove, VolumeSpec


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


ECHOES = frozenset({"UID", "GID", "SIZE", "INODES", "NOQUOTA"})
"""What Podman takes out of `o`, and sends once more (engine fact 17)."""

TABLE = (
    Option(
        "pool",
        "NAME",
        "the pool that keeps the volume, one of those in the settings; without it: that of the setting default_pool",
        option_values.read_pool,
    ),
    Option(
        "uid",
        "NUMBER|USER",
        "owner of the volume's root directory, set again at each mount",
        option_values.read_uid,
        mutable=True,
    ),
    Option(
        "gid",
        "NUMBER|GROUP",
        "group of the volume's root directory, set again at each mount",
        option_values.read_gid,
        mutable=True,
    ),
    Option(
        "mode",
        "OCTAL",
        "mode of the volume's root directory, such as 0750, set again at each mount",
        option_values.read_mode,
        lambda mode: f"{mode:04o}",
        mutable=True,
    ),
    Option(
        "path",
        "/DIRECTORY",
        "use this existing directory where it is; its content stays when the volume is removed",
        option_values.read_path,
    ),
    Option(
        "on_remove",
        "|".join(OnRemove),
        "what removing does: trash (the default) can be undone until it expires, keep can be undone without a limit, "
        "delete is for good",
        option_values.one_of(OnRemove),
        mutable=True,
    ),
    Option(
        "protect",
        "true|false",
        "refuse to remove the volume; `pyvol set NAME protect=false` lifts it",
        option_values.read_flag,
        option_values.show_flag,
        mutable=True,
    ),
    Option(
        "type",
        "|".join(MountType),
        "a mount of its own, as with Docker's local driver: what mount(8) is to mount; goes with device",
        option_values.one_of(MountType),
    ),
    Option(
        "device",
        "DEVICE",
        "what is mounted: HOST:/PATH or :/PATH of an NFS server, tmpfs, or a directory for type=none",
        option_values.read_text,
    ),
    Option(
        "o",
        "OPTION,...",
        "the mount's options, such as addr=nas.lan,vers=4.2; without type: other options of this list, with commas",
        option_values.read_text,
        mount_spec.redact,
    ),
    Option(
        "create",
        "true|false",
        "make the NFS export's path on the server where it is missing (the default)",
        option_values.read_flag,
        option_values.show_flag,
    ),
    Option(
        "subdir",
        "DIRECTORY",
        "where in the pool the volume's files are, such as team-a/{name}: made where it is missing, and its content "
        "stays when the volume is removed",
        option_values.read_subdir,
    ),
    Option(
        "access",
        "|".join(Access),
        "in an NFS pool: whether one host at a time may mount the volume, or any number (shared, the default)",
        option_values.one_of(Access),
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
    given = _values(_spread(options or {}), context)
    # A directory of this host and a mount of its own are for this host's own pool to remember.
    pool = DEFAULT_POOL if given.keys() & {"path", "type"} else context.default_pool
    return _consistent(msgspec.structs.replace(VolumeSpec(pool=pool), **given))


def with_name(spec: VolumeSpec, name: str, context: Context) -> VolumeSpec:
    """Return the spec of a volume of that name, which may stand in its subdir; raises `BadOption`."""
    if spec.subdir is None:
        return spec
    # Read once more: `{name}` alone is a directory of pyvol's own where the volume is called like one.
    return msgspec.structs.replace(spec, **_values({"subdir": spec.subdir.replace("{name}", name)}, context))


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
    context = Context({spec.pool}, NoNames())
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

    pairs = [(option, getattr(existing, option.key), getattr(asked, option.key)) for option in TABLE]
    return tuple(
        Difference(option.key, one(option, old), one(option, new), option.mutable)
        for option, old, new in pairs
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
    return mount_spec.normalise(spec)


def _values(options: Mapping[str, str], context: Context) -> dict[str, Any]:
    read = {}
    for key, text in options.items():
        option = BY_KEY.get(key)
        if option is None:
            raise _unknown(key)
        try:
            read[key] = option.parse(text, context)
        except ValueError as error:
            raise BadOption(f"option {key}: {error}") from None
    return read


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
                f"option {key} is given twice, as {mount_spec.redact(f'{key}={spread[key]}')!r} and in "
                f"o={mount_spec.redact(part)!r}: keep one of them"
            )
        spread[key] = text
    echoes = [key for key in spread if key.isupper() and spread.get(key.lower()) == spread[key]]
    return {key: text for key, text in spread.items() if key not in echoes}


def _unknown(key: str) -> BadOption:
    shown_key = key if len(key) <= 40 else key[:40] + "…"  # noqa: PLR2004  # enough to recognise a typo
    near = difflib.get_close_matches(key.lower(), BY_KEY, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return BadOption(f"unknown option {shown_key!r}: {hint}pyvol knows {', '.join(BY_KEY)} (see `-o help`)")
