from pathlib import Path

import pytest
from rich.console import Console

from simulate import report
from simulate.policies import Controller
from simulate.run import Result, run
from tests.simulate.made_up import LIMITS, SITE, job


@pytest.fixture
def results() -> list[Result]:
    return [run((job(0, 100), job(10, 50)), Controller(LIMITS, label=label), SITE) for label in ("now", "maxSlaves=1")]


def test_the_table_fits_into_80_columns_and_has_a_line_for_each_result(results: list[Result]) -> None:
    console = Console(width=80, record=True, file=Path("/dev/null").open("w"))  # noqa: SIM115
    console.print(report.table(results))
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in console.export_text().splitlines()]
    assert ["now", "0.1", "32 s", "37 s", "1", "0", "0"] in lines
    assert ["maxSlaves=1", "0.1", "32 s", "37 s", "1", "0", "0"] in lines


def test_the_plot_is_one_page_that_needs_no_network(results: list[Result], tmp_path: Path) -> None:
    report.plot(results, tmp_path / "plot.html")
    page = (tmp_path / "plot.html").read_text()
    assert "maxSlaves=1" in page
    assert "waiting jobs" in page
    assert '<script src="' not in page


def test_a_plot_that_cant_be_written_is_said_in_one_line(results: list[Result], tmp_path: Path) -> None:
    (tmp_path / "plot.html").mkdir()
    with pytest.raises(report.PlotError, match=r"no plot - .*plot.html can't be written: Is a directory"):
        report.plot(results, tmp_path / "plot.html")


def test_without_plotly_the_way_to_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(report.PlotError, match=r"isn't installed - pip install 'elastic-condor\[plot\]'"):
        report.check(Path("plot.html"))
