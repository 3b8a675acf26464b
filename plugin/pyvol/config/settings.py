"""Settings: one table says what each is called, takes and means; defaults < pyvol.toml < PYVOL_* < flags."""

import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from pyvol.config.pools import PoolSettings, absolute_path, nfs_pool, read_pools, refuse_nested
from pyvol.core.errors import BadSetting
from pyvol.core.model import mount_spec, units
from pyvol.core.model.volume import DEFAULT_POOL

PREFIX = "PYVOL_"
DEFAULT_SOCKET = Path("/run/docker/plugins/pyvol.sock")
DEFAULT_CONFIG = Path("/etc/pyvol/pyvol.toml")
NFS_POOL = "nfs"
"""The pool that the settings nfs_export and nfs_options make."""
SEPARATOR = re.compile(r"(?<!\\):")
"""Between paths; with a backslash before it a colon is part of one."""
MAX_SOCKET_BYTES = 107
"""What fits into sun_path, see unix(7)."""


class Settings(msgspec.Struct, frozen=True):
    """What holds for one daemon. `sources` says of each key where its value came from."""

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
    """One row of the table; `default` is written as a user would."""

    key: str
    default: str
    parse: Callable[[str], Any]
    help: str
    show: Callable[[Any], str] = str

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
        raise ValueError(f"{text!r} is too long for a socket: choose one of at most {MAX_SOCKET_BYTES} bytes")
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
            raise ValueError(f"{text!r} is none of {', '.join(words)}")
        return text

    return parse


def _timeout(text: str) -> timedelta:
    span = units.parse_duration(text)
    if not timedelta(seconds=2) <= span <= timedelta(seconds=50):
        raise ValueError(f"{text!r} is not between 2s and 50s, within which an engine waits")
    return span


def _port(text: str) -> int | None:
    if not text:
        return None
    if not text.isdigit() or not 0 < int(text) < 1 << 16:
        raise ValueError(f"{text!r} is no port: write a number from 1 to 65535")
    return int(text)


TABLE = (
    Setting("config", str(DEFAULT_CONFIG), absolute_path, "the settings file"),
    Setting("socket", str(DEFAULT_SOCKET), _socket, "where pyvol listens; its file name is the driver's name"),
    Setting("root", "/var/lib/pyvol", absolute_path, "directory of the default pool"),
    Setting("state_dir", "", absolute_path, "directory of the catalog; without it: the root"),
    Setting(
        "scope",
        "local",
        _one_of("local", "global"),
        "what Docker is told of the volumes' reach: local or global",
    ),
    Setting(
        "log_level",
        "info",
        _one_of("debug", "info", "warning", "error"),
        "how much is logged: debug, info, warning or error",
    ),
    Setting("log_format", "console", _one_of("console", "json"), "the form of the log: console or json"),
    Setting(
        "trash_keep",
        "7d",
        units.parse_duration,
        "how long a removed volume can be undeleted",
        units.format_duration,
    ),
    Setting(
        "trash_min_free",
        "10%",
        units.parse_percent,
        "under this much free room in a pool its trash goes before its time, oldest first",
        lambda percent: f"{percent:g}%",
    ),
    Setting(
        "allowed_paths",
        "",
        _paths,
        "where `-o path=` may point, several with a colon between (\\: for one in a path); without it: anywhere but "
        "system directories",
        _joined,
    ),
    Setting(
        "propagated_mount",
        "",
        _optional_path,
        "in a managed plugin: where pyvol shows the pools to Docker",
        lambda path: str(path or ""),
    ),
    Setting(
        "default_pool", "", str, "the pool of volumes that name none; without it: nfs with nfs_export, else default"
    ),
    Setting("nfs_export", "", str, "an NFS export, HOST:/PATH, that becomes the pool nfs"),
    Setting("nfs_options", "", str, "its mount options", mount_spec.redact),
    Setting(
        "nfs_timeout",
        "5s",
        _timeout,
        "how long a request waits for an NFS server that does not answer",
        units.format_duration,
    ),
    Setting(
        "nfs_refresh",
        "5s",
        units.parse_duration,
        "how old what is known of other hosts' volumes may be",
        units.format_duration,
    ),
    Setting(
        "metrics_port",
        "",
        _port,
        "the port of 127.0.0.1 with /metrics and /healthz; without it: on the socket alone",
        lambda port: str(port or ""),
    ),
    Setting(
        "usage_every",
        "6h",
        units.parse_duration,
        "how often what volumes take is counted in the background; 0s: never",
        units.format_duration,
    ),
)
BY_KEY = {setting.key: setting for setting in TABLE}


def load(flags: Mapping[str, str], environment: Mapping[str, str]) -> Settings:
    """Return what holds.

    Args:
        flags: by key, only those that were given.
        environment: the process's.

    Raises:
        BadSetting: one sentence that names the setting and its source.
    """
    config, config_source = _config_path(flags, environment)
    file = _read(config, needed=config_source != "default")
    _refuse_unknown_variables(environment)
    values: dict[str, Any] = {"config": config}
    sources = {"config": config_source}
    for setting in TABLE[1:]:
        text, sources[setting.key] = _find(setting, flags, environment, file, config)
        values[setting.key] = None if text == "" and setting.key == "state_dir" else _parse(setting, text, sources)
    if values["state_dir"] is None:
        values["state_dir"] = values["root"]
        sources["state_dir"] = "root"
    pools = [PoolSettings(DEFAULT_POOL, values["root"]), *read_pools(file, config, values["root"])]
    if values["nfs_export"]:
        if any(pool.name == NFS_POOL for pool in pools):
            raise BadSetting(f"setting nfs_export: {config} has [pools.{NFS_POOL}] already: keep one of them")
        where = f"setting nfs_export ({sources['nfs_export']})"
        pools.append(nfs_pool(NFS_POOL, values["nfs_export"], values["nfs_options"], values["root"], where))
    elif values["nfs_options"]:
        raise BadSetting(f"setting nfs_options ({sources['nfs_options']}) goes with nfs_export: set that too")
    if not values["default_pool"]:
        values["default_pool"] = NFS_POOL if values["nfs_export"] else DEFAULT_POOL
    elif values["default_pool"] not in {pool.name for pool in pools}:
        raise BadSetting(
            f"setting default_pool ({sources['default_pool']}): there is no pool {values['default_pool']!r}, the pools "
            f"are {', '.join(pool.name for pool in pools)}"
        )
    refuse_nested([pool for pool in pools if pool.export is None])
    return Settings(**values, pools=tuple(pools), sources=sources)


def _config_path(flags: Mapping[str, str], environment: Mapping[str, str]) -> tuple[Path, str]:
    setting = BY_KEY["config"]
    text, source = _find(setting, flags, environment, {}, DEFAULT_CONFIG)
    path: Path = _parse(setting, text, {"config": source})
    return path, source


def _read(path: Path, *, needed: bool) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            found = tomllib.load(file)
    except FileNotFoundError:
        if needed:
            raise BadSetting(
                f"the settings file {path} does not exist: create it, or name another with --config"
            ) from None
        return {}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadSetting(f"the settings file {path} cannot be read, mend it: {error}") from None
    unknown = sorted(found.keys() - BY_KEY.keys() - {"pools"} | found.keys() & {"config"})
    if unknown:
        known = ", ".join([*(key for key in BY_KEY if key != "config"), "pools"])
        raise BadSetting(f"{path}: unknown setting {unknown[0]!r}; pyvol knows {known}")
    return found


def _find(
    setting: Setting,
    flags: Mapping[str, str],
    environment: Mapping[str, str],
    file: Mapping[str, Any],
    config: Path,
) -> tuple[str, str]:
    if setting.key in flags:
        return flags[setting.key], f"flag {setting.flag}"
    if environment.get(setting.variable):
        return environment[setting.variable], f"environment {setting.variable}"
    if setting.key in file:
        value = file[setting.key]
        if isinstance(value, list) and all(isinstance(part, str) for part in value):
            value = _joined(value)
        if not isinstance(value, str):
            raise BadSetting(f"{config}: {setting.key} has to be a text, write it in quotes")
        return value, f"file {config}"
    return setting.default, "default"


def _parse(setting: Setting, text: str, sources: Mapping[str, str]) -> Any:
    try:
        return setting.parse(text)
    except ValueError as error:
        raise BadSetting(f"setting {setting.key} ({sources[setting.key]}): {error}") from None


def _refuse_unknown_variables(environment: Mapping[str, str]) -> None:
    known = {setting.variable for setting in TABLE}
    unknown = sorted(name for name in environment if name.startswith(PREFIX) and name not in known)
    if unknown:
        raise BadSetting(f"unknown environment variable {unknown[0]}; pyvol knows {', '.join(sorted(known))}")
