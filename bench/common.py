"""What the benchmarks share: how they are asked, and how they say what they found."""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from bench.realpool import NoPoolError
from demo.user import StepFailedError, last_line

_BEGAN = psutil.cpu_times()
DISTURBED = 5.0
"""Percent of the processors' time taken by the host from which on a result has to be told with it."""


def options(description: str) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there, too")
    parser.add_argument("--small", action="store_true", help="a size that takes seconds: to see that it still runs")
    return parser


def run(main: Callable[[], None]) -> None:
    """Runs a benchmark; a trouble that was foreseen is one line and exit code 1.

    Raises:
        SystemExit: it had one.
    """
    try:
        main()
    except (NoPoolError, StepFailedError) as error:
        sys.exit(f"bench: {error}")
    except subprocess.CalledProcessError as error:
        command = error.cmd if isinstance(error.cmd, str) else os.fspath(error.cmd[0])
        why = f" - {last_line(error.stderr)}" if error.stderr else ""
        sys.exit(f"bench: `{command}` failed with exit code {error.returncode}{why}")


def tell(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, timed: bool = True) -> None:
    """Prints a table: words to the left, numbers to the right; below times, what has made them longer."""
    table = Table(*columns[:1], title=title, title_justify="left")
    for column in columns[1:]:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(*row)
    console = Console()
    console.width = max(console.width, 120)
    console.print(table)
    if timed and (taken := stolen()) > DISTURBED:
        print(f"meanwhile this machine's host took {taken:.0f} % of its processors' time: times are longer for it")


def save(path: Path | None, results: Mapping[str, Any]) -> None:
    """Writes results as JSON, with what they were measured on, beside what other benchmarks have left in that file."""
    if path:
        path.write_text(json.dumps({**saved(path), **results, "machine": machine()}, indent=1) + "\n", encoding="utf-8")


def saved(path: Path | None) -> dict[str, Any]:
    """What a file of results has; nothing if there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path and path.exists() else {}


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    return {
        "cpus": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "stolen_percent": stolen(),
    }


def stolen() -> float:
    """How much of the processors' time the machine's host gave to others since this program began, in percent.

    What the kernel counts as `steal`; of two runs only those with like shares are to be compared.
    """
    now = psutil.cpu_times()
    return round(100 * (now.steal - _BEGAN.steal) / max(sum(now) - sum(_BEGAN), 0.01), 1)
