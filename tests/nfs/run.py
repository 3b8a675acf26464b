"""Run a command with a deadline, because servers die under it; a failure shows the output."""

import subprocess
from pathlib import Path

PATIENCE_S = 60.0


def run(*argv: str | Path, timeout_s: float = PATIENCE_S) -> str:
    """Run a command that must succeed, and return its output."""
    done = subprocess.run(
        [str(word) for word in argv],
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=timeout_s,
    )
    if done.returncode:
        raise AssertionError(f"{' '.join(map(str, argv))} exited {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout
