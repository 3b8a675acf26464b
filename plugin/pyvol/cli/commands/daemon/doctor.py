"""`pyvol doctor`: the findings of the daemon, and checks from outside the daemon."""

import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from pyvol.api.v1.schema.doctor import Finding
from pyvol.cli.options import engine_option, json_option, socket_option
from pyvol.cli.sockets import plugin_id
from pyvol.cli.table import Cell, Styled, show_json, show_table
from pyvol.client.docker_api import Engine, EngineVolume, Info
from pyvol.client.pyvol_api import Client
from pyvol.core.errors import DaemonUnreachable, EngineUnreachable, PyvolError
from pyvol.host.system import systemd


@click.command("doctor", short_help="Find problems, with a hint for each.")
@engine_option
@socket_option
@json_option
def doctor_(client: Client, engine: Path, *, as_json: bool) -> None:
    """Find problems, and print a hint for each. Exits with 1 if there is a problem.

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
    """Find managed plugins that should answer on a socket of that name, when no daemon does."""
    try:
        with Engine(socket) as engine:
            plugins = [plugin for plugin in engine.plugins() if plugin.config.interface.socket == name]
    except EngineUnreachable:
        return  # `_engine` reports this
    for plugin in plugins:
        again = f"docker plugin disable -f {plugin.name}, then " if plugin.enabled else ""
        yield Finding(
            f"plugin {plugin.name}",
            False,
            "enabled, but does not answer" if plugin.enabled else "disabled",
            f"{again}docker plugin enable {plugin.name}; if that fails, the reason is in dockerd's log "
            "(journalctl -u docker); correct a setting with docker plugin set",
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
            "socket", False, f"{path}: {error.strerror}", "only root may use it: put `sudo` before the command"
        )
    except OSError as error:
        return Finding("socket", False, f"{path}: {error.strerror}", "start pyvol, or name its socket with --socket")
    if not stat.S_ISSOCK(found.st_mode):
        return Finding("socket", False, f"{path} is not a socket", "move it away and restart pyvol")
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077 or found.st_uid:
        return Finding(
            "socket",
            False,
            f"{path} has mode {mode:04o} and owner {found.st_uid}: everybody who can connect can delete volumes",
            f"chown root {path}; chmod 0600 {path}",
        )
    return Finding("socket", True, f"{path}, only root can connect")


def _units() -> Iterator[Finding]:
    if not systemd.runs():
        yield Finding("units", True, "this host does not run systemd: make sure that pyvol starts before Docker")
        return
    for unit in ("pyvol.socket", "pyvol.service"):
        check = f"unit {unit}"
        try:
            state, activity = systemd.enablement(unit) or "not installed", systemd.activity(unit)
        except OSError as error:
            yield Finding(check, False, str(error.strerror), "see `systemctl status`")
            continue
        if activity == "failed":
            why = f"`journalctl -u {unit}` says why; fix that, then `systemctl restart pyvol.socket pyvol.service`"
            yield Finding(check, False, f"{state}, but failed", why)
            continue
        # The service need not be enabled: its socket starts it.
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
                yield Finding(check, True, f"the engine runs pyvol as the plugin {driver}")
            else:
                yield _meeting(engine.info(), driver)
            if names is not None:  # without a daemon no volume is known, and Docker would wait for the daemon
                yield _hidden(engine.volumes(), driver, names)
    except EngineUnreachable as error:
        yield Finding(check, False, error.summary, error.hint)


def _meeting(info: Info, driver: str) -> Finding:
    drivers = info.plugins.volume or []
    if driver in drivers:
        return Finding("engine", True, f"the engine knows the driver {driver}")
    summary = f"the engine has not used the driver {driver} yet (it knows {', '.join(drivers)})"
    # Docker looks for a driver when a volume needs it; a swarm starts no service on a node that has not used
    # it.
    in_swarm = info.swarm.local_node_state != "inactive"
    return Finding(
        "engine",
        not in_swarm,
        summary,
        "run `docker volume ls` once: Swarm does not know the plugin before" if in_swarm else "",
    )


def _hidden(listed: Sequence[EngineVolume], driver: str, names: set[str]) -> Finding:
    """Find volumes that Docker created with another driver while it could not find pyvol (engine fact 42)."""
    others = sorted(f"{row.name} ({row.driver})" for row in listed if row.name in names and row.driver != driver)
    return Finding(
        "engine: volumes",
        not others,
        f"volumes of another driver hide volumes of pyvol: {', '.join(others)}" if others else "no volume is hidden",
        "save their data, then `docker volume rm` them: that removes the volume of the other driver" if others else "",
    )
