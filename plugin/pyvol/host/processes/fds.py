"""Close file descriptors whose last close cannot hang, see `worker_pool.py`."""

import os
from collections.abc import Sequence
from contextlib import suppress


def close(files: Sequence[int]) -> None:
    """Close files."""
    for file in files:
        with suppress(OSError):  # close(2) reports failed writes, and the process that wrote has had these errors
            os.close(file)
