"""Rounds: competitors take turns in short batches, so that other load on the machine affects all of them."""

import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

Batch = Callable[[], Mapping[str, list[float]]]
"""One competitor's turn; returns the seconds of each call, by kind of call."""


@dataclass
class Series:
    """All calls of one kind, round by round."""

    rounds: list[list[float]] = field(default_factory=list)

    @property
    def medians(self) -> list[float]:
        """The median of each round."""
        return [statistics.median(one) for one in self.rounds]

    @property
    def p50(self) -> float:
        """The median of the rounds' medians."""
        return statistics.median(self.medians)

    @property
    def p99s(self) -> list[float]:
        """The 99th percentile of each round."""
        return [quantile(one, 0.99) for one in self.rounds]

    @property
    def p99(self) -> float:
        """The 99th percentile of all calls."""
        return quantile([took for one in self.rounds for took in one], 0.99)


def quantile(values: Iterable[float], share: float) -> float:
    """Return the smallest value that `share` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered)) - 1))]


def ratio(measured: Iterable[float], reference: Iterable[float]) -> float:
    """Return the median of the ratios of all rounds, so that drift between rounds cancels out."""
    return statistics.median(a / b for a, b in zip(measured, reference, strict=True))


def take_turns(competitors: Mapping[str, Batch], count: int, *, warm: bool = True) -> dict[str, dict[str, Series]]:
    """Run `count` rounds, every second one in reverse order; return the seconds per competitor and call.

    Before the rounds each competitor has one turn that is not counted, unless `warm` is false.
    """
    if warm:
        for batch in competitors.values():
            batch()
    taken: dict[str, dict[str, Series]] = {name: {} for name in competitors}
    for number in range(count):
        for name in list(competitors)[:: 1 if number % 2 == 0 else -1]:
            for kind, took in competitors[name]().items():
                taken[name].setdefault(kind, Series()).rounds.append(took)
    return taken
