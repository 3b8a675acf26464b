"""Send daemons requests that may be refused."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from deadline import await_true
from guest.wire import Refused


def refusal(act: Callable[..., object], *args: str, **options: str) -> str:
    """Call a function; return the error of its refusal, or an empty string."""
    try:
        act(*args, **options)
    except Refused as refused:
        return str(refused)
    return ""


def at_once(*acts: Callable[[], object]) -> list[str]:
    """Call several functions at the same time; return their errors."""
    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(refusal, acts))


def persist(act: Callable[..., object], *args: str, **options: str) -> None:
    """Repeat a call until it is not refused."""
    await_true(lambda: not refusal(act, *args, **options), "the request to succeed")
