"""Results for people: a table for the terminal, a page with curves for the browser."""

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from cluster.errors import EcmError
from simulate.run import HOUR, Result

if TYPE_CHECKING:
    from simulate.pool import Moment


class PlotError(EcmError):
    """A plot that can't be made."""


def table(results: Sequence[Result]) -> Table:
    """One line for each result; times in seconds."""
    shown = Table(title=f"{results[0].jobs} jobs" if results else None, title_justify="left")
    shown.add_column("", overflow="fold")
    for column in ("VM hours", "mean wait", "95 % wait", "boots", "unused", "never ran"):
        shown.add_column(column, justify="right")
    for result in results:
        shown.add_row(
            result.label,
            f"{result.vm_hours:.1f}",
            f"{result.wait_mean:.0f} s",
            f"{result.wait_95:.0f} s",
            str(result.boots),
            str(result.wasted),
            str(result.never_ran),
        )
    return shown


def check(path: Path) -> None:
    """Finds out before the runs, which may take minutes, that a plot could not be made.

    Raises:
        PlotError: plotly isn't there, or the file isn't named as a page, or has no folder.
    """
    if path.suffix not in (".html", ".htm"):
        raise PlotError(f"no plot - {path} isn't named as a page - name it {path.with_suffix('.html')}")
    if not path.parent.is_dir():
        raise PlotError(f"no plot - there is no folder {path.parent} - name another file")
    if not importlib.util.find_spec("plotly"):
        raise PlotError("no plot - the Python package plotly isn't installed - pip install 'elastic-condor[plot]'")


def plot(results: Sequence[Result], path: Path) -> None:
    """Writes one page that needs no network: slaves, CPUs in use and waiting jobs over the hours of the trace.

    Raises:
        PlotError: the file can't be written.
    """
    from plotly.colors import qualitative  # noqa: PLC0415 - an extra, not always there
    from plotly.subplots import make_subplots  # noqa: PLC0415

    curves: tuple[tuple[str, Callable[[Moment], int]], ...] = (
        ("slaves", lambda moment: moment.slaves),
        ("CPUs in use", lambda moment: moment.running_cpus),
        ("waiting jobs", lambda moment: moment.waiting),
    )
    figure = make_subplots(rows=len(curves), shared_xaxes=True, subplot_titles=[title for title, _ in curves])
    for number, result in enumerate(results):
        hours = [moment.at / HOUR for moment in result.moments]
        for row, (_, value) in enumerate(curves, start=1):
            figure.add_scatter(
                x=hours,
                y=[value(moment) for moment in result.moments],
                row=row,
                col=1,
                name=result.label,
                legendgroup=result.label,
                showlegend=row == 1,
                line={"shape": "hv", "color": qualitative.Plotly[number % len(qualitative.Plotly)]},
            )
    figure.update_xaxes(title_text="hours", row=len(curves), col=1)
    figure.update_layout(template="plotly_white")
    try:
        figure.write_html(path, include_plotlyjs=True)
    except OSError as error:
        raise PlotError(f"no plot - {path} can't be written: {error.strerror} - name another file") from error
