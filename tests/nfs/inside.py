"""The pytest in the guest: writes each report as a line of JSON to its output.

It is loaded with `-p`, before pytest starts to capture, because the output is the connection to the host.
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
    """Replaces the reporter on a terminal."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Send a report to the host."""
        hook = self._config.hook
        say({"report": hook.pytest_report_to_serializable(config=self._config, report=report)})

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Report that a test has ended."""
        say({"finished": nodeid})

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Report a failed collection."""
        if report.failed:
            say({"broken": str(report.longrepr)})

    def pytest_internalerror(self, excrepr: object) -> None:
        """Report an internal error of pytest."""
        say({"broken": str(excrepr)})

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Iterator[None]:
        """Limit the time of each test, so that no test waits for a test that never ends."""
        signal.alarm(TEST_TIMEOUT_S)
        try:
            return (yield)
        finally:
            signal.alarm(0)


def out_of_time(_number: int, _frame: FrameType | None) -> None:
    """Raise TimeoutError in the main thread."""
    raise TimeoutError(f"the test took longer than {TEST_TIMEOUT_S} s")


def pytest_configure(config: pytest.Config) -> None:
    """Register the reporter."""
    signal.signal(signal.SIGALRM, out_of_time)
    config.pluginmanager.register(Reporter(config))
