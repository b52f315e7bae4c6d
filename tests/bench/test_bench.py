import json
from collections.abc import Callable
from functools import reduce
from operator import getitem
from pathlib import Path

import pytest

from bench import decision, growth, policy, quiet, reaction, setup

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("program", "part", "keys"),
    [
        (
            decision.main,
            "decision",
            {"tick_s_1000", "tick_with_nova_s_1000_10", "nova_look_s_10", "rss_mb_1000", "full_query_ratio"},
        ),
        (quiet.main, "quiet", {"cpu_percent", "elastiq_looks_cpu_percent"}),
        (policy.main, "policy", {"vm_hours_ratio_max", "wait_ratio_max"}),
        (growth.main, "growth", {"up_ratio.2", "up_ratio.4", "active_ratio.4", "nothing.4.seconds"}),
        (setup.main, "setup", {"set_up_s"}),
    ],
)
def test_each_benchmark_runs_at_a_small_size_and_adds_its_results(
    program: Callable[[list[str]], None], part: str, keys: set[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "results.json"
    file.write_text('{"other": 1}')
    program(["--small", "--json", str(file)])
    results = json.loads(file.read_text())
    assert results["other"] == 1
    assert 0 <= results[part]["machine"]["stolen_percent"] <= 100
    for key in keys:
        assert reduce(getitem, key.split("."), results[part]) > 0, key
    if part == "quiet":
        assert (results[part]["updates"], "bytes_per_hour" in results[part]) == (0, True)
    assert len(capsys.readouterr().out.splitlines()) > 3


@pytest.mark.cloud_alone
@pytest.mark.usefixtures("cloud")
def test_a_clusters_reaction_is_measured_once(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    reaction.main(["--small", "--json", str(file)])
    results = json.loads(file.read_text())["reaction"]
    assert results["rounds"] == 1
    assert 0 < results["create_request_median_s"] < results["running_median_s"]
    assert results["running_ratio"] > 0


TRACE = "QDate,RequestCpus,RequestMemory,RemoteWallClockTime\n0,1,100,60\n"


def test_recorded_traces_are_played_beside_the_made_up_ones(tmp_path: Path) -> None:
    """Two of one name in different folders are two."""
    one, same, other = (tmp_path / name for name in ("one/pool.csv", "two/pool.csv", "other.csv"))
    for trace in (one, same, other):
        trace.parent.mkdir(exist_ok=True)
        trace.write_text(TRACE)
    file = tmp_path / "results.json"
    traces = [word for trace in (one, same, other) for word in ("--trace", str(trace))]
    policy.main(["--small", *traces, "--idle-time", "900", "--spare-slots", "2", "--json", str(file)])
    results = json.loads(file.read_text())["policy"]
    assert {str(one), str(same), "other.csv", "bursty"} <= set(results["traces"])
    assert results["ready"] == {"idle_time": 900, "spare_slots": 2}
