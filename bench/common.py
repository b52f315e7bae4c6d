"""What the benchmarks share: how they are asked, and how they say what they found."""

import argparse
import json
import math
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keystoneauth1.exceptions as auth_errors
import openstack.exceptions as sdk_errors
import psutil
import pulumi.automation as auto
from rich.console import Console
from rich.table import Table

from bench.realpool import NoPoolError
from cluster.errors import EcmError
from cluster.login import first_line
from controller.errors import OutsideError
from demo.user import ROOT, StepFailedError, last_line

_BEGAN = psutil.cpu_times()
DISTURBED = 5.0
"""Percent of the processors' time taken by the host from which on a result has to be told with it."""


def options(description: str) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=_results, metavar="FILE", help="write the results there, too")
    parser.add_argument("--small", action="store_true", help="a size that takes seconds: to see that it still runs")
    return parser


def whole(text: str) -> int:
    """An option's number of rounds, slaves or the like."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text} isn't a whole number above 0")
    return int(text)


def number(text: str) -> float:
    """An option's time."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} isn't a number above 0")
    return value


def _results(text: str) -> Path:
    """A file that results can be added to: who has measured for an hour doesn't want to hear that it can't be."""
    path = Path(text)
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {path.parent}")
    try:
        fine = isinstance(saved(path), dict)
    except (OSError, ValueError):
        fine = False
    if not fine:
        raise argparse.ArgumentTypeError(f"{path} has no results of benchmarks, and is left as it is")
    return path


def run(main: Callable[[], None]) -> None:
    """Runs a benchmark; a trouble that was foreseen is one line and exit code 1.

    Told to end, it first ends what it has started, as after Ctrl-C.

    Raises:
        SystemExit: it had one, or was told to end.
    """
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("bench: ended early")
    except (NoPoolError, StepFailedError, EcmError, OutsideError, TimeoutError) as error:
        sys.exit(f"bench: {error}")
    except (auth_errors.ClientException, sdk_errors.SDKException) as error:
        sys.exit(f"bench: {first_line(error)}")
    except auto.CommandError as error:
        sys.exit(f"bench: {last_line(str(error))}")
    except subprocess.CalledProcessError as error:
        command = error.cmd if isinstance(error.cmd, str) else os.fspath(error.cmd[0])
        why = f" - {last_line(error.stderr)}" if error.stderr else ""
        sys.exit(f"bench: `{command}` failed with exit code {error.returncode}{why}")
    finally:
        signal.signal(signal.SIGTERM, before)


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


def save(path: Path | None, part: str, numbers: Mapping[str, Any]) -> None:
    """Writes a benchmark's results as JSON, with what they were measured on, beside what others have left there."""
    if path:
        results = {**saved(path), part: {**numbers, **measured_on()}}
        path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def saved(path: Path | None) -> dict[str, Any]:
    """What a file of results has; nothing if there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path and path.exists() else {}


def measured_on() -> dict[str, Any]:
    """What a benchmark was run on, and when, and of which commit."""
    return {
        "machine": {
            "cpus": psutil.cpu_count(),
            "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
            "system": platform.platform(terse=True),
            "python": platform.python_version(),
            "stolen_percent": stolen(),
        },
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
    }


def _commit() -> str:
    """That of this checkout, with a remark if something in it isn't committed."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"  # no git here, or files without their history


def stolen() -> float:
    """How much of the processors' time the machine's host gave to others since this program began, in percent.

    What the kernel counts as `steal`; of two runs only those with like shares are to be compared.
    """
    now = psutil.cpu_times()
    return round(100 * (now.steal - _BEGAN.steal) / max(sum(now) - sum(_BEGAN), 0.01), 1)
