"""What takes its time: it is waited for, and a terminal shows how far it is."""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from pyvol.core.errors import PyvolError

LOOK_S = 0.3

T = TypeVar("T")


def await_done(act: Callable[[], T], doing: str, look: Callable[[], str]) -> T:
    """Run an act, and return what it returns, or raise what it raises.

    Args:
        act: waits for the daemon.
        doing: what is shown at first.
        look: asks how far it is; empty where that is not known.
    """
    from rich.console import Console  # noqa: PLC0415  # only a command that waits shows progress

    done: list[T] = []
    wrong: list[BaseException] = []

    def run() -> None:
        try:
            done.append(act())
        except BaseException as error:  # noqa: BLE001  # raised below, in the thread that waits
            wrong.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    with Console(stderr=True).status(doing) as shown:
        thread.join(LOOK_S)
        while thread.is_alive():
            with suppress(PyvolError):  # only the progress is not known; how it ends is told by the answer
                shown.update(look() or doing)
            thread.join(LOOK_S)
    if wrong:
        raise wrong[0]
    return done[0]
