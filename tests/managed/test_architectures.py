"""The pinned packages for arm64, as far as a test can check them on amd64."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from engine.built import BASE, TOP

if TYPE_CHECKING:
    from pathlib import Path

PINS = TOP / "packaging" / "requirements.txt"
TIMEOUT_S = 300


def test_arm64_is_made_of_the_same_pins(tmp_path: Path) -> None:
    """Each pinned package has a wheel for the image's Python on arm64 whose hash is among the pins."""
    command = [sys.executable, "-m", "pip", "--quiet", "install", "--dry-run", "--no-deps"]
    command += ["--target", str(tmp_path), "--require-hashes", "--requirement", str(PINS)]
    command += ["--python-version", BASE.removeprefix("python:").removesuffix("-slim"), "--implementation", "cp"]
    command += ["--platform", "manylinux_2_28_aarch64", "--platform", "manylinux2014_aarch64", "--only-binary", ":all:"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stderr
