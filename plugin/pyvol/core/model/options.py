"""Driver options: one table has the name, the values and the meaning of each; all other code reads it.

The engine checks neither keys nor values, and sends strings only (engine fact 18). Podman repeats the options
in ``-o o=uid=1000`` in capitals (engine fact 17).
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from pyvol.core.errors import BadOption, BadValue, OptionHelp
from pyvol.core.model import mount_spec, option_values
from pyvol.core.model.option_values import Context, NoNames
from pyvol.core.model.text import suggest
from pyvol.core.model.volume import DEFAULT_POOL, Access, MountType, OnRemove, VolumeSpec


class Difference(msgspec.Struct, frozen=True):
    """An option whose value differs from the requested one; None if it is not set."""

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
"""The options that Podman copies from `o` and sends again (engine fact 17)."""

TABLE = (
    Option(
        "pool",
        "NAME",
        "the pool of the volume; without it, the setting default_pool decides",
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
        "use this existing directory in place; its content stays when the volume is removed",
        option_values.read_path,
    ),
    Option(
        "on_remove",
        "|".join(OnRemove),
        "what removing does: trash (the default) can be undone until it expires, keep can be undone without a limit, "
        "delete is permanent",
        option_values.one_of(OnRemove),
        mutable=True,
    ),
    Option(
        "protect",
        "true|false",
        "refuse to remove the volume; `pyvol set NAME protect=false` allows it again",
        option_values.read_flag,
        option_values.show_flag,
        mutable=True,
    ),
    Option(
        "type",
        "|".join(MountType),
        "mount the volume with mount(8), as Docker's local driver does; needs device",
        option_values.one_of(MountType),
    ),
    Option(
        "device",
        "DEVICE",
        "what to mount: HOST:/PATH or :/PATH of an NFS server, tmpfs, or a directory for type=none",
        option_values.read_text,
    ),
    Option(
        "o",
        "OPTION,...",
        "mount options, such as addr=nas.lan,vers=4.2; without type, other options of this list, with commas",
        option_values.read_text,
        mount_spec.redact,
    ),
    Option(
        "create",
        "true|false",
        "create the path on the NFS server if it is missing (the default)",
        option_values.read_flag,
        option_values.show_flag,
    ),
    Option(
        "subdir",
        "DIRECTORY",
        "the directory of the volume's files in the pool, such as team-a/{name}; pyvol creates it if it is missing, "
        "and its content stays when the volume is removed",
        option_values.read_subdir,
    ),
    Option(
        "access",
        "|".join(Access),
        "in an NFS pool, how many hosts may mount the volume at a time: one, or any number (shared, the default)",
        option_values.one_of(Access),
    ),
)
BY_KEY = {option.key: option for option in TABLE}
UNSETTABLE = ("uid", "gid", "mode")
"""The options that `pyvol set NAME KEY=` unsets; the other options have a value for that."""


def help_text() -> str:
    """Return the text of ``-o help``: each option, its values and its meaning."""
    width = max(len(f"{option.key}={option.takes}") for option in TABLE)
    rows = "\n".join(f"  {f'{option.key}={option.takes}':<{width}}  {option.help}" for option in TABLE)
    return f"pyvol takes these options (-o KEY=VALUE, or driver_opts in Compose):\n{rows}"


def parse(options: Mapping[str, str] | None, context: Context) -> VolumeSpec:
    """Return the spec that an engine's ``Opts`` ask for.

    Raises:
        OptionHelp: for ``-o help``.
        BadOption: a key is unknown, a value is invalid, or options contradict each other.
    """
    given = _values(_spread(options or {}), context)
    # A directory of this host, or a mount, belongs to this host's own pool.
    pool = DEFAULT_POOL if given.keys() & {"path", "type"} else context.default_pool
    return _consistent(msgspec.structs.replace(VolumeSpec(pool=pool), **given))


def with_name(spec: VolumeSpec, name: str, context: Context) -> VolumeSpec:
    """Return the spec of a volume with that name, which replaces `{name}` in its subdir.

    Raises `BadOption`.
    """
    if spec.subdir is None:
        return spec
    # Checked again: `{name}` alone is one of pyvol's own directories if the volume has the same name.
    return msgspec.structs.replace(spec, **_values({"subdir": spec.subdir.replace("{name}", name)}, context))


def change(spec: VolumeSpec, options: Mapping[str, str], context: Context) -> VolumeSpec:
    """Return the spec with some options changed; raise `BadOption` for options that cannot be changed."""
    fixed = [key for key in options if key in BY_KEY and not BY_KEY[key].mutable]
    if fixed:
        raise BadOption(
            f"option {fixed[0]} cannot be changed after creation",
            hint="create another volume with it and copy the data",
        )
    unset = {key: None for key, text in options.items() if not text and key in UNSETTABLE}
    given = {key: text for key, text in options.items() if key not in unset}
    return _consistent(msgspec.structs.replace(spec, **_values(given, context), **unset))


def check_read(spec: VolumeSpec) -> None:
    """Raise `BadOption` if a spec from a disk has a value that no user could have asked for."""
    context = Context({spec.pool}, NoNames())
    default = VolumeSpec(pool=spec.pool)
    for option in TABLE:
        value = getattr(spec, option.key)
        if value == getattr(default, option.key):
            continue
        try:
            same = option.parse(value if isinstance(value, str) else option.show(value), context) == value
        except BadValue as error:
            raise _invalid(option.key, error) from None
        if not same:
            raise BadOption(f"option {option.key} is invalid", f"pyvol does not write {value!r}")
    if _consistent(spec) != spec:
        raise BadOption("the options are invalid", "pyvol does not write this combination")


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
                raise BadOption(
                    f"subdir= and {key}= contradict each other", "a volume is in one place", "leave out one of the two"
                )
    for key in ("subdir", "path"):
        if getattr(spec, key) is not None and spec.on_remove is OnRemove.DELETE:
            raise BadOption(
                f"{key}= and on_remove=delete contradict each other",
                f"pyvol never deletes the content of a {key}",
                "leave out one of the two",
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
        except BadValue as error:
            raise _invalid(key, error) from None
    return read


def _spread(options: Mapping[str, str]) -> dict[str, str]:
    """Return the options with ``o=uid=1000,gid=1000`` split, except a mount's `o`; drop Podman's copies."""
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
                f"option {key} is given twice",
                f"as {mount_spec.redact(f'{key}={spread[key]}')!r} and in o={mount_spec.redact(part)!r}",
                "leave out one of the two",
            )
        spread[key] = text
    echoes = [key for key in spread if key.isupper() and spread.get(key.lower()) == spread[key]]
    return {key: text for key, text in spread.items() if key not in echoes}


def _unknown(key: str) -> BadOption:
    shown_key = key if len(key) <= 40 else key[:40] + "…"  # noqa: PLR2004  # enough to recognise a typo
    guess = suggest(key.lower(), BY_KEY)
    return BadOption(f"unknown option {shown_key!r}", hint=f"{guess}pyvol knows {', '.join(BY_KEY)} (see `-o help`)")


def _invalid(key: str, error: BadValue) -> BadOption:
    return BadOption(f"option {key} is invalid", error.cause, error.hint)
