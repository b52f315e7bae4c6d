"""`ecm simulate` plays a trace with the stack's settings and with others."""

import json
from pathlib import Path
from typing import Any

import pytest

from cli.laptop import whatif

HEADER = "QDate,RequestCpus,RequestMemory,RemoteWallClockTime\n"


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    file = tmp_path / "trace.csv"
    file.write_text(HEADER + "".join("0,1,500,600\n" for _ in range(8)))
    return file


def test_each_set_of_settings_is_a_line_and_fewer_slaves_mean_longer_waiting(ecm: Any, trace: Path) -> None:
    done = ecm("simulate", "--trace", str(trace), "--set", "maxSlaves=1", "--set", "maxSlaves=8,idleTime=60", "--json")
    assert done.exit_code == 0, done.output
    as_set, one, eight = json.loads(done.stdout)
    assert [as_set["label"], one["label"], eight["label"]] == ["as set", "maxSlaves=1", "maxSlaves=8,idleTime=60"]
    assert one["boots"] == 1
    assert {"started", "moments"}.isdisjoint(one), "as long as the trace"
    assert one["wait_mean"] > as_set["wait_mean"] >= eight["wait_mean"]


def test_a_table_and_a_plot_for_people(ecm: Any, trace: Path, tmp_path: Path) -> None:
    page = tmp_path / "curves.html"
    done = ecm("simulate", "--trace", str(trace), "--plot", str(page))
    assert done.exit_code == 0, done.output
    assert "VM hours" in done.stdout
    assert "as set" in done.stdout
    assert page.stat().st_size > 1000


@pytest.mark.parametrize(("name", "says"), [("curves.png", "curves.html"), ("nowhere/curves.html", "no folder")])
def test_a_plot_that_cant_be_is_refused_before_anything_is_played(
    ecm: Any, trace: Path, name: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whatif, "compare", pytest.fail)
    done = ecm("simulate", "--trace", str(trace), "--plot", str(trace.parent / name))
    assert done.exit_code == 1
    assert says in done.stderr


def test_a_larger_flavor_is_played_as_one(ecm: Any, trace: Path) -> None:
    done = ecm("simulate", "--trace", str(trace), "--set", "slaveFlavor=large", "--json")
    assert done.exit_code == 0, done.output
    as_set, large = json.loads(done.stdout)
    assert large["boots"] < as_set["boots"]


def test_a_long_set_of_settings_is_shown_whole_in_a_narrow_window(ecm: Any, trace: Path) -> None:
    shown = ecm("simulate", "--trace", str(trace), "--set", "maxSlaves=8,idleTime=60,minSlaves=3").stdout
    labels = "".join(line.split("│")[1].strip() for line in shown.splitlines() if line.startswith("│"))
    assert labels == "as setmaxSlaves=8,idleTime=60,minSlaves=3"
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("maxSlaves", "as in --set maxSlaves=50"),
        ("maxSlvaes=3", "did you mean ecm:maxSlaves?"),
        ("maxSlaves=x", "whole number"),
        ("maxSlaves=3,keyName=other", "keyName is not played - what is: idleTime, jobsPerSlave"),
        ("jobsPerSlave=64", "VCPUs"),
    ],
)
def test_a_change_that_is_none_is_one_line(ecm: Any, trace: Path, change: str, says: str) -> None:
    done = ecm("simulate", "--trace", str(trace), "--set", change)
    assert done.exit_code == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr
