"""`pyvol doctor`: what the daemon finds in itself, and what is seen from outside of it."""

import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from pyvol.cli.options import engine_option, json_option, socket_option
from pyvol.cli.sockets import plugin_id
from pyvol.cli.table import Cell, Styled, show_json, show_table
from pyvol.client.docker_api import Engine, EngineVolume, Info
from pyvol.client.pyvol_api import Client
from pyvol.core.errors import DaemonUnreachable, EngineUnreachable, PyvolError
from pyvol.core.status.doctor import Finding
from pyvol.host.system import systemd


@click.command("doctor", short_help="Look for trouble, and say how to mend it.")
@engine_option
@socket_option
@json_option
def doctor_(client: Client, engine: Path, *, as_json: bool) -> None:
    """Look for trouble, and say how to mend it; exit code 1 where something is not well.

    \b
    Examples:
      pyvol doctor
      pyvol doctor --json | jq '.[] | select(.well | not)'
    """
    findings = list(_examine(client, engine))
    if as_json:
        show_json(findings)
    else:
        show_table(("", "CHECK", "FOUND"), [row for finding in findings for row in _rows(finding)], "")
    if not all(finding.well for finding in findings):
        sys.exit(1)


def _examine(client: Client, engine: Path) -> Iterator[Finding]:
    socket = client.socket
    yield _socket(socket)
    names = None
    try:
        yield from client.findings()
        names = {volume.name for volume in client.volumes()}
    except DaemonUnreachable as error:
        yield Finding("daemon", False, error.summary, error.hint)
    except PyvolError as error:
        yield Finding("daemon", False, str(error))
    managed = plugin_id(socket)
    silent = list(_silent(engine, socket.name)) if names is None else []
    if managed is not None:
        yield Finding("plugin", True, f"`docker plugin set` has its settings; its log is dockerd's, plugin={managed}")
    elif not silent:
        yield from _units()
    yield from silent or _engine(engine, socket.stem, managed, names)


def _silent(socket: Path, name: str) -> Iterator[Finding]:
    """Look for managed plugins that could answer on a socket of that name, where none does."""
    try:
        with Engine(socket) as engine:
            plugins = [plugin for plugin in engine.plugins() if plugin.config.interface.socket == name]
    except EngineUnreachable:
        return  # which is told with the rest on the engine
    for plugin in plugins:
        again = f"docker plugin disable -f {plugin.name}, then " if plugin.enabled else ""
        yield Finding(
            f"plugin {plugin.name}",
            False,
            "enabled, and does not answer" if plugin.enabled else "disabled",
            f"{again}docker plugin enable {plugin.name}; if that fails, the reason is in dockerd's log "
            "(journalctl -u docker), and a setting is mended with docker plugin set",
        )


def _rows(finding: Finding) -> Iterator[Sequence[Cell]]:
    mark = Styled("ok", "green") if finding.well else Styled("!!", "red", is_bold=True)
    yield mark, finding.check, finding.summary
    if not finding.well and finding.hint:
        yield "", "", Styled(f"-> {finding.hint}", "yellow")


def _socket(path: Path) -> Finding:
    try:
        found = path.stat()
    except PermissionError as error:
        return Finding(
            "socket", False, f"{path}: {error.strerror}", "it is for root alone: put `sudo` before the command"
        )
    except OSError as error:
        return Finding("socket", False, f"{path}: {error.strerror}", "start pyvol, or name its socket with --socket")
    if not stat.S_ISSOCK(found.st_mode):
        return Finding("socket", False, f"{path} is no socket", "move it away and restart pyvol")
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077 or found.st_uid:
        return Finding(
            "socket",
            False,
            f"{path} has mode {mode:04o} and owner {found.st_uid}: who can connect can delete volumes",
            f"chown root {path}; chmod 0600 {path}",
        )
    return Finding("socket", True, f"{path}, root alone can connect")


def _units() -> Iterator[Finding]:
    if not systemd.runs():
        yield Finding("units", True, "this host does not run systemd: see that pyvol starts before Docker")
        return
    for unit in ("pyvol.socket", "pyvol.service"):
        check = f"unit {unit}"
        try:
            state = systemd.enablement(unit) or "not installed"
        except OSError as error:
            yield Finding(check, False, str(error.strerror), "see `systemctl status`")
            continue
        # The service needs no enabling: its socket starts it.
        well = state == "enabled" or (unit == "pyvol.service" and state in {"disabled", "static", "indirect"})
        yield Finding(check, well, state, "" if well else f"make install, then systemctl enable --now {unit}")


def _engine(socket: Path, driver: str, managed: str | None, names: set[str] | None) -> Iterator[Finding]:
    check = "engine"
    if not socket.exists():
        yield Finding(check, True, f"no Docker engine at {socket}; --engine names another")
        return
    try:
        with Engine(socket) as engine:
            if managed:
                driver = engine.plugin_name(managed)
                yield Finding(check, True, f"the engine runs it as the plugin {driver}")
            else:
                yield _meeting(engine.info(), driver)
            if names is not None:  # with no daemon none is known, and Docker would wait for it
                yield _hidden(engine.volumes(), driver, names)
    except EngineUnreachable as error:
        yield Finding(check, False, error.summary, error.hint)


def _meeting(info: Info, driver: str) -> Finding:
    drivers = info.plugins.volume or []
    if driver in drivers:
        return Finding("engine", True, f"the engine knows the driver {driver}")
    summary = f"the engine has not met the driver {driver} yet (it knows {', '.join(drivers)})"
    # Docker looks for a driver when a volume needs it; a swarm places no service on a node that has not met it.
    in_swarm = info.swarm.local_node_state != "inactive"
    return Finding(
        "engine",
        not in_swarm,
        summary,
        "run `docker volume ls` once: Swarm sees a plugin only then" if in_swarm else "",
    )


def _hidden(listed: Sequence[EngineVolume], driver: str, names: set[str]) -> Finding:
    """Look for volumes that Docker made under another driver while it could not find ours (engine fact 42)."""
    others = sorted(f"{row.name} ({row.driver})" for row in listed if row.name in names and row.driver != driver)
    return Finding(
        "engine: volumes",
        not others,
        f"volumes of another driver hide those of the same name: {', '.join(others)}" if others else "none is hidden",
        "save what was written into them, and `docker volume rm` them: that takes the other driver's" if others else "",
    )
