"""Wait for a condition, with a deadline that is long enough even on a busy machine."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_S = 60.0
INTERVAL_S = 0.02


def await_true(condition: Callable[[], object], what: str = "it to be so", timeout_s: float = PATIENCE_S) -> None:
    """Poll until the condition is true; after the deadline raise TimeoutError with a description."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {timeout_s:.0f} s for {what}")
        time.sleep(INTERVAL_S)
