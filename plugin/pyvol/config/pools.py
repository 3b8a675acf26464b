"""The pools of the settings: `[pools.NAME]` tables of pyvol.toml."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from pyvol.core.errors import BadOption, BadSetting, BadValue
from pyvol.core.model import mount_spec
from pyvol.core.model.mount_spec import NfsExport
from pyvol.core.model.volume import DEFAULT_POOL, NAME

POOL_KEYS = {"local": {"kind", "path"}, "nfs": {"kind", "export", "options"}}


class PoolSettings(msgspec.Struct, frozen=True):
    """A `[pools.NAME]` table; an NFS pool has an export, and its path is where pyvol mounts the export."""

    name: str
    path: Path
    export: NfsExport | None = None


def absolute_path(text: str) -> Path:
    """Return an absolute path, normalised; raises `BadValue` for any other."""
    if not text.startswith("/") or "\0" in text:
        raise BadValue(f"{text!r} is not an absolute path", "start the path with /")
    return Path(os.path.normpath(text))


def read_pools(tables: Any, config: Path, root: Path) -> list[PoolSettings]:
    """Return the pools of the `[pools.NAME]` tables in the settings file `config`; raise `BadSetting`."""
    if not isinstance(tables, dict):
        raise BadSetting(
            f"{config}: pools is not a set of tables", hint="write each pool as a table, such as [pools.fast]"
        )
    return [_pool(name, table, config, root) for name, table in tables.items()]


def _pool(name: str, table: Any, config: Path, root: Path) -> PoolSettings:
    where = f"{config}: [pools.{name}]"
    if not NAME.fullmatch(name):
        raise BadSetting(f"{where} is not a name for a pool", hint="use letters, digits, '_', '.' and '-'")
    if name == DEFAULT_POOL:
        raise BadSetting(f"{where} is the pool in the setting root", hint="set root instead")
    kind = table.get("kind", "local") if isinstance(table, dict) else "local"
    if kind not in POOL_KEYS:
        raise BadSetting(f"{where}: unknown kind {kind!r}", hint=f"use one of {', '.join(POOL_KEYS)}")
    needed, example = ("export", "nas.lan:/volumes") if kind == "nfs" else ("path", "/srv/fast")
    if not isinstance(table, dict) or not isinstance(table.get(needed), str):
        raise BadSetting(f"{where}: key {needed!r} is missing, or is not a text", hint=f'add {needed} = "{example}"')
    unknown = sorted(table.keys() - POOL_KEYS[kind])
    if unknown:
        raise BadSetting(
            f"{where}: unknown key {unknown[0]!r}", hint=f"use one of {', '.join(sorted(POOL_KEYS[kind]))}"
        )
    if kind == "nfs":
        options = table.get("options", "")
        if not isinstance(options, str):
            raise BadSetting(f"{where}: the value of options is not a text", hint="put it in quotes")
        return nfs_pool(name, table["export"], options, root, where)
    try:
        return PoolSettings(name, absolute_path(table["path"]))
    except BadValue as error:
        raise BadSetting(f"{where}: path is invalid", error.cause, error.hint) from None


def nfs_pool(name: str, export: str, options: str, root: Path, where: str) -> PoolSettings:
    """Return the pool of an export; `where` is its place in the settings. Raises `BadSetting`."""
    try:
        return PoolSettings(name, root / "pools" / name, mount_spec.parse(export, options))
    except BadOption as error:
        raise BadSetting(f"{where} is invalid", error.summary, error.hint) from None


def refuse_nested(pools: Sequence[PoolSettings]) -> None:
    """Raise `BadSetting` if the directory of a pool is inside the directory of another."""
    for one in pools:
        for other in pools:
            if one is not other and one.path.is_relative_to(other.path):
                raise BadSetting(
                    f"pool {one.name!r} is inside pool {other.name!r}",
                    f"{one.path} is below {other.path}",
                    "choose another directory for one of the two",
                )
