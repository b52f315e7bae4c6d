"""What the benchmarks make of what they see: without a cloud, an engine or HTCondor."""

import json
import re
import signal
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, NoReturn

import keystoneauth1.exceptions as auth_errors
import openstack.exceptions as sdk_errors
import psutil
import pulumi.automation as auto
import pytest

from bench import common, growth, policy, quiet, reaction, setup
from bench.quiet import Meter
from bench.reaction import MARKS, Sight, steps
from bench.realpool import NoPoolError
from bench.rig import openstack as stand_in
from bench.rig import running
from controller.errors import OutsideError
from demo.user import StepFailedError


class Times(NamedTuple):
    """What the processors have done, in seconds."""

    user: float
    steal: float


ACTS = ("raw_grow", "raw_shrink", "grow", "nothing", "one_less", "shrink")
WATCHED = """\
101.0  .
102.0  1,.
112.0 s, 1,.
113.0 s, 2,.
118.0 s, .
"""
LOG = """\
102.400000 python[7]: update starts create=['s'] remove=[]
130.000000 python[7]: update starts create=[] remove=['another', 's']
"""


def test_the_marks_of_a_round_come_in_their_order() -> None:
    sight = Sight(100)
    first, *lines = WATCHED.splitlines()
    sight.nova([], 100.5)
    sight.condor(first, "")
    assert sight.marks == {}, "an empty queue before the job is no end of it"
    assert sight.nova(["s"], 102.5) == "s"
    sight.nova([], 104, active=True)
    sight.nova(["s"], 105, active=True)
    for line in lines:
        sight.condor(line, "s")
    sight.nova([], 133)
    sight.condor("134.0  .", "s")
    sight.controller(LOG, "s")
    assert {mark: sight.marks[mark] for mark in MARKS} == dict(
        zip(MARKS, (2.5, 5, 12, 13, 18, 30, 33, 34), strict=True)
    )
    assert steps([sight.marks])["submit → create request"] == [2.5]
    assert steps([sight.marks])["job done → gone"] == [16]


def test_what_is_used_in_a_few_minutes_is_scaled_to_an_hour() -> None:
    before, after = Meter(0, 10.0, 1_000, 3, 5), Meter(360, 12.7, 1_500, 3, 25)
    assert quiet.between(before, after) == quiet.Usage(0.75, 5_000, 0, 200, 0, 6.0)


def test_of_several_windows_the_whole_counts_and_the_cpus_spread_is_told() -> None:
    meters = [Meter(0, 0.0, 0, 0), Meter(100, 1.0, 0, 0), Meter(200, 1.5, 0, 1), Meter(300, 4.5, 300, 1)]
    numbers = quiet.results(meters)
    assert (numbers["cpu_percent"], numbers["cpu_percent_spread"]) == (1.5, [0.5, 3.0])
    assert (numbers["updates"], numbers["bytes_per_hour"], numbers["minutes"]) == (1, 3600, 5.0)


def run(seconds: float) -> growth.Run:
    return growth.Run(seconds)


def test_growth_is_compared_round_by_round_and_told_by_its_median() -> None:
    rounds = [
        {name: run(ours if not name.startswith("raw") else raw) for name in ACTS}
        for ours, raw in ((30, 20), (24, 20), (60, 50))
    ]
    numbers = growth.results({10: rounds})
    assert numbers["up_ratio"] == {"10": 1.2}
    assert numbers["up_ratio_spread"] == {"10": [1.2, 1.5]}
    assert numbers["overhead_s"] == {"10": 10}
    assert (numbers["grow"]["10"]["seconds"], numbers["grow"]["10"]["rounds"]) == (30, [30, 24, 60])
    assert "exponent" not in numbers, "one size tells nothing of growth"


@pytest.mark.parametrize(("power", "seconds"), [(1, {10: 5, 100: 50, 1000: 500}), (2, {10: 1, 100: 100})])
def test_the_exponent_tells_linear_from_quadratic(power: int, seconds: dict[int, float]) -> None:
    assert growth.exponent(seconds) == pytest.approx(power)


def test_what_an_update_takes_whatever_its_size_does_not_hide_what_grows_faster() -> None:
    assert growth.exponent({n: 30 + n / 5 + n * n / 400 for n in (10, 50, 200, 1000)}) > 1.5


@pytest.mark.parametrize(("steal", "told"), [(40.0, "took 40 % of its processors' time"), (2.0, "")])
def test_a_benchmark_tells_when_the_host_gave_its_processors_to_others(
    steal: float, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(common, "_BEGAN", Times(user=0, steal=0))
    monkeypatch.setattr(psutil, "cpu_times", lambda: Times(user=100 - steal, steal=steal))
    common.run(lambda: None)
    assert capsys.readouterr().out == "", "who reads a benchmark's own answer by a program gets nothing else"
    common.tell("", ("",), (), timed=False)
    assert "processors" not in capsys.readouterr().out
    common.tell("", ("",), ())
    said = capsys.readouterr().out
    assert told in said if told else "processors" not in said
    assert common.measured_on()["machine"]["stolen_percent"] == steal


def test_a_trace_without_jobs_is_said_in_one_line(tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("QDate,RequestCpus,RequestMemory,RemoteWallClockTime\n")
    with pytest.raises(StepFailedError, match=r"trace.csv has no jobs - take one of a time when some ran"):
        policy.main(["--small", "--trace", str(trace)])


def test_the_phases_of_the_tests_are_read_from_their_table() -> None:
    said = "── tests\nset-up                     1 s\nlocal cloud down          22 s\n"
    assert setup.phases(said) == {"set-up": 1, "local cloud down": 22}


def test_what_the_tests_say_of_their_progress_is_no_phase() -> None:
    said = (
        "Python environment (.venv) … 18 s\nPython environment (.venv): done in 18 s\n"
        "uv … 18 s\nset-up                     1 s\n"
    )
    assert setup.phases(said) == {"set-up": 1}


def test_the_stand_in_lists_page_by_page_and_a_full_one_has_a_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a thousand slaves are listed in two, as Nova does it."""
    monkeypatch.setattr(stand_in, "PAGE", 2)
    cloud = stand_in.Cloud(stand_in.Pace(), "http://nova")
    first, second = (cloud.make({"name": name}).id for name in ("a", "b"))
    for handler in (stand_in.ANSWERS[f"GET /compute/v2.1/servers{more}"] for more in ("", "/detail")):
        _, page = handler(cloud, "", {})
        assert [server["id"] for server in page["servers"]] == [first, second]
        assert page["servers_links"][0]["href"].endswith(f"?marker={second}")
        assert handler(cloud, "", {"marker": second}) == (200, {"servers": [], "servers_links": []})


def test_without_postgresql_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """A state in a folder is another one to measure."""
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(NoPoolError, match="there is no PostgreSQL for the state - apt-get install postgresql"):
        running.backend().__enter__()


def failing() -> NoReturn:
    raise NoPoolError("a real HTCondor needs root here")


def cloud_is_down() -> NoReturn:
    raise StepFailedError("the local cloud isn't up")


def suite_fails() -> NoReturn:
    subprocess.run(["false"], check=True)
    raise AssertionError


def raising(error: Exception) -> Callable[[], NoReturn]:
    def main() -> NoReturn:
        raise error

    return main


@pytest.mark.parametrize(
    ("main", "line"),
    [
        (failing, "a real HTCondor needs root here"),
        (cloud_is_down, "the local cloud isn't up"),
        (suite_fails, "`false` failed with exit code 1"),
        (raising(TimeoutError("a round isn't over")), "a round isn't over"),
        (raising(OutsideError("the schedd can't be asked - no")), "the schedd can't be asked - no"),
        (raising(sdk_errors.ConfigException("Cloud x was not found")), "Cloud x was not found"),
        (raising(auth_errors.ConnectFailure("Unable to establish\nmore")), "Unable to establish"),
        (
            raising(auto.CommandError(auto._cmd.CommandResult("said", "\nerror: no plugin\n\n", 255))),
            "error: no plugin",
        ),
        (
            lambda: policy.main(["--trace", "/nonexistent"]),
            "/nonexistent can't be read - No such file or directory - name a file made by condor_history",
        ),
    ],
)
def test_a_trouble_that_was_foreseen_ends_a_benchmark_with_one_line(main: Callable[[], None], line: str) -> None:
    with pytest.raises(SystemExit) as end:
        common.run(main)
    assert end.value.code == f"bench: {line}"


def test_a_benchmark_that_is_killed_ends_what_it_has_started() -> None:
    ended: list[str] = []

    def main() -> None:
        with ExitStack() as rig:
            rig.callback(ended.append, "cloud")
            signal.raise_signal(signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit, match="ended early"):
        common.run(main)
    assert ended == ["cloud"]
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("program", "arguments", "said"),
    [
        (reaction.main, ["--rounds", "0"], "isn't a whole number above 0"),
        (growth.main, ["--sizes", "10,-5"], "-5 isn't a whole number above 0"),
        (growth.main, ["--rounds", "x"], "isn't a whole number above 0"),
        (quiet.main, ["--minutes", "nan"], "isn't a number above 0"),
        (policy.main, ["--json", "/nowhere/results.json"], "there is no folder /nowhere"),
    ],
)
def test_what_cant_be_is_said_before_anything_is_measured(
    program: Callable[[list[str]], None], arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        program(arguments)
    assert end.value.code == 2
    assert said in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("text", ["{broken", "[1]"])
def test_a_file_that_has_no_results_is_left_alone(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "results.json"
    file.write_text(text)
    with pytest.raises(SystemExit):
        policy.main(["--json", str(file)])
    assert f"{file} has no results of benchmarks" in capsys.readouterr().err
    assert file.read_text() == text


def test_each_part_of_a_file_says_where_and_when_it_was_measured(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    common.save(file, "quiet", {"updates": 0})
    common.save(file, "growth", {"exponent": 1})
    results = json.loads(file.read_text())
    assert set(results) == {"quiet", "growth"}
    assert (results["quiet"]["updates"], results["growth"]["exponent"]) == (0, 1)
    for part in results.values():
        assert part["machine"]["cpus"] >= 1
        assert datetime.fromisoformat(part["date"]).tzinfo == UTC
        assert re.fullmatch("[0-9a-f]{40}(-dirty)?|unknown", part["commit"])


def test_what_a_failed_suite_says_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    script = tmp_path / "scripts/test"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\necho why >&2\nexit 3\n")
    script.chmod(0o755)
    monkeypatch.setattr(setup, "ROOT", tmp_path)
    with pytest.raises(subprocess.CalledProcessError):
        setup.test()
    assert capsys.readouterr().err == "why\n"
