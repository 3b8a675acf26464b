"""The command line in the plugin, for hosts that have none: by the function that the documentation gives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from engine.releases import SYSTEM_PATH

if TYPE_CHECKING:
    import subprocess

    from engine.managed import ManagedMachine

GUIDE = Path(__file__).parents[2] / "docs" / "managed-plugin.md"


def run_inside(machine: ManagedMachine, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a pyvol command so."""
    function = next(line for line in GUIDE.read_text().splitlines() if line.startswith("pyvol() {"))
    command = ["bash", "-c", f'{function}; pyvol "$@"', "bash", *words]
    return machine.namespace.run(command, env={"PATH": SYSTEM_PATH})


def hosts_engine(machine: ManagedMachine) -> str:
    """Return where the plugin sees the engine's socket."""
    return f"/proc/1/root{machine.dockerd.api.path}"
