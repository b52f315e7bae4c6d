"""The table of fault tests at the end of a run."""

from collections.abc import Iterator

import pytest

TABLE = "{:<34} {:<8} {:>8}  {}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Each case with its verdict, the seconds until the cluster was at rest again, and what was wrong."""
    rows = sorted(set(_rows(terminalreporter)))
    if rows:
        terminalreporter.section("faults")
        terminalreporter.write_line(TABLE.format("case", "verdict", "seconds", ""))
        for row in rows:
            terminalreporter.write_line(TABLE.format(*row))
        terminalreporter.write_line(f"the same cases again: --faults-seed={config.getoption('--faults-seed')}")


def _rows(terminalreporter: pytest.TerminalReporter) -> Iterator[tuple[str, ...]]:
    for verdict in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(verdict, ()):
            if "/test_faults.py::" not in report.nodeid or (verdict == "passed" and report.when != "call"):
                continue
            told = dict(report.user_properties)
            crash = getattr(report.longrepr, "reprcrash", None)
            wrong = crash.message.splitlines()[0] if crash else ""
            name = report.nodeid.partition("[")[2].rstrip("]") or report.nodeid
            yield name, verdict, str(told.get("seconds", "")), str(told.get("note", "")) + wrong
