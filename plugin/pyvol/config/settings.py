"""Settings: one table has the name, the default, the parser and the help of each.

`pyvol.cli.setting_options` decides between flags, environment, file and defaults.
"""

import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from pyvol.config.pools import PoolSettings, absolute_path, nfs_pool, read_pools, refuse_nested
from pyvol.core.errors import BadSetting, BadValue
from pyvol.core.model import mount_spec, units
from pyvol.core.model.text import suggest
from pyvol.core.model.units import format_duration, parse_duration
from pyvol.core.model.volume import DEFAULT_POOL

PREFIX = "PYVOL_"
DEFAULT_SOCKET = Path("/run/docker/plugins/pyvol.sock")
DEFAULT_CONFIG = Path("/etc/pyvol/pyvol.toml")
NFS_POOL = "nfs"
"""The pool that the settings nfs_export and nfs_options add."""
SEPARATOR = re.compile(r"(?<!\\):")
"""The separator of paths; a colon after a backslash is part of a path."""
MAX_SOCKET_BYTES = 107
"""The size of sun_path, see unix(7)."""
LOG_LEVELS = ("debug", "info", "warning", "error")


class Settings(msgspec.Struct, frozen=True):
    """The settings of one daemon; `sources` has for each key where its value comes from."""

    config: Path
    socket: Path
    root: Path
    state_dir: Path
    scope: str
    log_level: str
    log_format: str
    trash_keep: timedelta
    trash_min_free: float
    allowed_paths: tuple[Path, ...]
    propagated_mount: Path | None
    default_pool: str
    nfs_export: str
    nfs_options: str
    nfs_timeout: timedelta
    nfs_refresh: timedelta
    metrics_port: int | None
    usage_every: timedelta
    pools: tuple[PoolSettings, ...]
    sources: dict[str, str]


class Setting(NamedTuple):
    """A row of the table; `default` is text, as a user would write it."""

    key: str
    default: str
    parse: Callable[[str], Any]
    help: str
    show: Callable[[Any], str] = lambda value: "" if value is None else str(value)

    @property
    def variable(self) -> str:
        """The environment variable."""
        return PREFIX + self.key.upper()

    @property
    def flag(self) -> str:
        """The flag of `pyvol serve`."""
        return "--" + self.key.replace("_", "-")


def _socket(text: str) -> Path:
    path = absolute_path(text)
    if len(os.fsencode(path)) > MAX_SOCKET_BYTES:
        raise BadValue(f"{text!r} is too long for a socket", f"use a path of at most {MAX_SOCKET_BYTES} bytes")
    return path


def _paths(text: str) -> tuple[Path, ...]:
    return tuple(absolute_path(part.replace("\\:", ":")) for part in SEPARATOR.split(text) if part)


def _joined(paths: Iterable[object]) -> str:
    return ":".join(str(path).replace(":", "\\:") for path in paths)


def _optional_path(text: str) -> Path | None:
    return absolute_path(text) if text else None


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise BadValue(f"{text!r} is not one of the possible values", f"use one of {', '.join(words)}")
        return text

    return parse


def _timeout(text: str) -> timedelta:
    span = parse_duration(text)
    if not timedelta(seconds=2) <= span <= timedelta(seconds=50):
        raise BadValue(f"{text!r} is not a time for which an engine waits", "use 2s to 50s")
    return span


def _port(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) < 1 << 16:
        raise BadValue(f"{text!r} is not a port", "use a number from 1 to 65535")
    return int(text)


TABLE = (
    Setting("config", str(DEFAULT_CONFIG), absolute_path, "the settings file"),
    Setting("socket", str(DEFAULT_SOCKET), _socket, "where pyvol listens; its file name is the driver's name"),
    Setting("root", "/var/lib/pyvol", absolute_path, "directory of the default pool"),
    Setting("state_dir", "", _optional_path, "directory of the catalog; if not set, the root"),
    Setting("scope", "local", _one_of("local", "global"), "the scope that pyvol reports to Docker: local or global"),
    Setting("log_level", "info", _one_of(*LOG_LEVELS), "how much pyvol logs: debug, info, warning or error"),
    Setting("log_format", "console", _one_of("console", "json"), "the format of the log: console or json"),
    Setting("trash_keep", "7d", parse_duration, "how long a removed volume can be undeleted", format_duration),
    Setting(
        "trash_min_free",
        "10%",
        units.parse_percent,
        "below this free space in a pool, pyvol deletes volumes from its trash early, oldest first",
        lambda percent: f"{percent:g}%",
    ),
    Setting(
        "allowed_paths",
        "",
        _paths,
        "where `-o path=` may point, separated by colons (\\: for a colon in a path); if not set, anywhere but system "
        "directories",
        _joined,
    ),
    Setting("propagated_mount", "", _optional_path, "in a managed plugin, where pyvol shows the pools to Docker"),
    Setting(
        "default_pool",
        "",
        str,
        "the pool of volumes without the option pool; if not set, nfs with nfs_export, else default",
    ),
    Setting("nfs_export", "", str, "an NFS export, HOST:/PATH, that becomes the pool nfs"),
    Setting("nfs_options", "", str, "mount options of nfs_export", mount_spec.redact),
    Setting("nfs_timeout", "5s", _timeout, "how long a request waits for a silent NFS server", format_duration),
    Setting("nfs_refresh", "5s", parse_duration, "maximum age of what is known of other hosts", format_duration),
    Setting("metrics_port", "", _port, "a port of 127.0.0.1 for /metrics and /healthz; if not set, only the socket"),
    Setting(
        "usage_every",
        "6h",
        parse_duration,
        "how often pyvol counts the disk space of volumes in the background; 0s for never",
        format_duration,
    ),
)
BY_KEY = {setting.key: setting for setting in TABLE}


def load(texts: Mapping[str, Any], sources: Mapping[str, str] | None = None) -> Settings:
    """Return the settings in effect.

    Args:
        texts: by key, what a user wrote; a missing one has its default. `pools` has the tables of the file.
        sources: by key, where a text comes from: `flag --root`.

    Raises:
        BadSetting: one sentence that names the setting and its source.
    """
    sources = {**dict.fromkeys(BY_KEY, "default"), **(sources or {})}
    values = {row.key: parse(row, texts.get(row.key, row.default), sources[row.key]) for row in TABLE}
    config, root = values["config"], values["root"]
    if values["state_dir"] is None:
        values["state_dir"] = root
        sources["state_dir"] = "root"
    pools = [PoolSettings(DEFAULT_POOL, root), *read_pools(texts.get("pools", {}), config, root)]
    if values["nfs_export"]:
        if any(pool.name == NFS_POOL for pool in pools):
            raise BadSetting(
                f"setting nfs_export ({sources['nfs_export']}) is invalid",
                f"{config} also has [pools.{NFS_POOL}]",
                "remove one of the two",
            )
        where = f"setting nfs_export ({sources['nfs_export']})"
        pools.append(nfs_pool(NFS_POOL, values["nfs_export"], values["nfs_options"], root, where))
    elif values["nfs_options"]:
        raise BadSetting(
            f"setting nfs_options ({sources['nfs_options']}) has no effect without nfs_export",
            hint="set nfs_export too",
        )
    names = [pool.name for pool in pools]
    if not values["default_pool"]:
        values["default_pool"] = NFS_POOL if values["nfs_export"] else DEFAULT_POOL
    elif values["default_pool"] not in names:
        raise BadSetting(
            f"setting default_pool ({sources['default_pool']}) is invalid",
            f"there is no pool {values['default_pool']!r}",
            f"use one of {', '.join(names)}",
        )
    refuse_nested([pool for pool in pools if pool.export is None])
    return Settings(**values, pools=tuple(pools), sources=sources)


def parse(setting: Setting, text: str, source: str) -> Any:
    """Return the value of a text; raise `BadSetting` if the setting does not take it."""
    try:
        return setting.parse(text)
    except BadValue as error:
        raise BadSetting(f"setting {setting.key} ({source}) is invalid", error.cause, error.hint) from None


def read_file(path: Path, *, needed: bool = True) -> dict[str, Any]:
    """Return the texts of a settings file by key, and its tables of pools; raise `BadSetting` for a mistake.

    A missing file has no settings, unless it is needed.
    """
    try:
        with path.open("rb") as file:
            found = tomllib.load(file)
    except FileNotFoundError:
        if needed:
            raise BadSetting(
                f"the settings file {path} does not exist", hint="create it, or name another file with --config"
            ) from None
        return {}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSetting(f"the settings file {path} cannot be read", str(error), "fix the file") from None
    known = [*(setting.key for setting in TABLE[1:]), "pools"]
    for key, value in found.items():
        if key not in known:
            raise BadSetting(
                f"{path}: unknown setting {key!r}", hint=f"{suggest(key, known)}pyvol knows {', '.join(known)}"
            )
        if key in BY_KEY and isinstance(value, list) and all(isinstance(part, str) for part in value):
            found[key] = _joined(value)
        elif key in BY_KEY and not isinstance(value, str):
            raise BadSetting(f"{path}: the value of {key} is not a text", hint="put it in quotes")
    return found


def refuse_unknown_variables(environment: Iterable[str]) -> None:
    """Raise `BadSetting` if an environment variable looks like a setting and is none, such as PYVOL_ROTO."""
    known = sorted(setting.variable for setting in TABLE)
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in known:
            guess = suggest(name, known)
            raise BadSetting(f"unknown environment variable {name}", hint=f"{guess}pyvol knows {', '.join(known)}")
