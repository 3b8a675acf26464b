"""Asks daemons for what may be refused."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from deadline import await_true
from guest.wire import Refused


def refusal(act: Callable[..., object], *args: str, **options: str) -> str:
    """Do something and return what it was refused with, or nothing."""
    try:
        act(*args, **options)
    except Refused as refused:
        return str(refused)
    return ""


def at_once(*acts: Callable[[], object]) -> list[str]:
    """Do things at the same time; return their refusals."""
    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(refusal, acts))


def persist(act: Callable[..., object], *args: str, **options: str) -> None:
    """Do something again and again until it is no more refused."""
    await_true(lambda: not refusal(act, *args, **options), "what was refused to be done")
