"""Run pyvol commands inside the plugin, with the shell function that the documentation gives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from engine.releases import SYSTEM_PATH

if TYPE_CHECKING:
    import subprocess

    from engine.managed import ManagedMachine

GUIDE = Path(__file__).parents[2] / "docs" / "managed-plugin.md"


def run_inside(machine: ManagedMachine, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a pyvol command inside the plugin."""
    function = next(line for line in GUIDE.read_text().splitlines() if line.startswith("pyvol() {"))
    command = ["bash", "-c", f'{function}; pyvol "$@"', "bash", *words]
    return machine.namespace.run(command, env={"PATH": SYSTEM_PATH})


def hosts_engine(machine: ManagedMachine) -> str:
    """Return the path of the engine's socket inside the plugin."""
    return f"/proc/1/root{machine.dockerd.api.path}"
