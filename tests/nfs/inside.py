"""The pytest in the guest: it says all that it finds out on its output, a line of JSON for each report.

Loaded with `-p` before pytest begins to capture: the output is the line to the host.
"""

import json
import os
import signal
from collections.abc import Iterator
from types import FrameType

import pytest

LINE = os.dup(1)
TEST_TIMEOUT_S = 240


def say(message: dict[str, object]) -> None:
    """Send a line to the host."""
    line = json.dumps(message).encode() + b"\n"
    while line:
        line = line[os.write(LINE, line) :]


class Reporter:
    """Takes the place of the reporter on a terminal."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Pass a report on."""
        hook = self._config.hook
        say({"report": hook.pytest_report_to_serializable(config=self._config, report=report)})

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Say that a test has ended."""
        say({"finished": nodeid})

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Say what could not be collected."""
        if report.failed:
            say({"broken": str(report.longrepr)})

    def pytest_internalerror(self, excrepr: object) -> None:
        """Say that pytest itself broke."""
        say({"broken": str(excrepr)})

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Iterator[None]:
        """Let no test last for ever: the one behind it would never know."""
        signal.alarm(TEST_TIMEOUT_S)
        try:
            return (yield)
        finally:
            signal.alarm(0)


def out_of_time(_number: int, _frame: FrameType | None) -> None:
    """End what the main thread does."""
    raise TimeoutError(f"the test took longer than {TEST_TIMEOUT_S} s")


def pytest_configure(config: pytest.Config) -> None:
    """Begin to report."""
    signal.signal(signal.SIGALRM, out_of_time)
    config.pluginmanager.register(Reporter(config))
