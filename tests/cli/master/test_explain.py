"""`ecm explain` asks HTCondor about a job, and the controller's status about the rest."""

import json
from typing import Any

import pytest

from controller.model import Phase

AD = {"ClusterId": 12, "ProcId": 0, "JobStatus": 1, "Owner": "ada", "RequestMemory": "/Expr(ifThenElse(…))/"}


def test_a_jobs_requests_are_evaluated_by_htcondor(ecm: Any, master: Any, status: Any) -> None:
    master.tells(status())
    master.answers |= {
        "condor_q -allusers -constraint": "",
        "condor_q -allusers 12.0 -json": json.dumps([AD]),
        "condor_q -allusers 12.0 -af": "1 4096 1000 undefined\n",
        "condor_status": "",
    }
    done = ecm("explain", "12", obj=master)
    assert "can never run here: it asks for 4096 MiB" in " ".join(done.stdout.split())


def test_a_job_that_has_ended_is_found_in_the_history(ecm: Any, master: Any, status: Any) -> None:
    master.tells(status())
    ended = {**AD, "JobStatus": 4, "ExitCode": 3}
    master.answers |= {"condor_q": "", "condor_history": json.dumps([ended]), "condor_status": ""}
    assert "exit status 3" in ecm("explain", "12.0", obj=master).stdout


def test_a_job_that_never_was_is_one_line(ecm: Any, master: Any, status: Any) -> None:
    master.tells(status())
    master.answers |= {"condor_q": "", "condor_history": "", "condor_status": ""}
    done = ecm("explain", "99", obj=master)
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "there is no job 99.0" in done.stderr


def test_a_slave_is_found_by_the_end_of_its_name(ecm: Any, master: Any, status: Any, slave: Any) -> None:
    master.tells(status(slave("abc", Phase.BUSY, jobs=1), slave("xyz", Phase.IDLE)))
    assert "ecm-dev-slave-abc" in json.loads(ecm("explain", "abc", "--json", obj=master).stdout)["answer"]
    done = ecm("explain", "nobody", obj=master)
    assert "there is no such slave - there is: ecm-dev-slave-abc, ecm-dev-slave-xyz" in done.stderr


def test_it_wants_to_know_what_to_explain(ecm: Any, master: Any) -> None:
    assert ecm("explain", obj=master).exit_code == 2
    assert ecm("explain", "12", "--scaling", obj=master).exit_code == 2


def test_of_many_jobs_the_first_that_waits_is_explained(ecm: Any, master: Any, status: Any) -> None:
    master.tells(status())
    master.answers |= {
        "condor_q -allusers -constraint ClusterId == 12 && JobStatus == 1 -limit 1 -json": json.dumps(
            [{**AD, "ProcId": 7}]
        ),
        "condor_q -allusers 12.7 -af": "1 100 1000 undefined\n",
        "condor_status": "",
    }
    assert ecm("explain", "12", obj=master).stdout.startswith("12.7 has been waiting")


def test_odd_ads_of_slaves_are_passed_over(ecm: Any, master: Any, status: Any) -> None:
    master.tells(status())
    master.answers |= {
        "condor_q": json.dumps([{**AD, "RequestMemory": 100}]),
        "condor_q -allusers 12.0 -af": "1 100 1000 undefined\n",
        "condor_status": "ecm-dev-slave-odd <10.0.0.9:9618> 0 undefined 1920 x undefined\nshort\n",
    }
    done = ecm("explain", "12.0", obj=master)
    assert done.exit_code == 0, done.stderr


def test_an_answer_that_is_no_json_is_one_line(ecm: Any, master: Any, status: Any) -> None:
    master.tells(status())
    master.answers |= {"condor_q": "-- Failed to fetch ads", "condor_status": ""}
    done = ecm("explain", "12.0", obj=master)
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "condor_q can't be understood - it says: -- Failed to fetch ads" in done.stderr


def test_lines_that_are_too_long_go_on_below_their_beginning(ecm: Any, master: Any, status: Any) -> None:
    master.tells(status(reasons=("at maximum: " + "more than that " * 8,)))
    lines = ecm("explain", "--scaling", obj=master).stdout.splitlines()
    assert all(line.startswith("  ") for line in lines[1:])
    assert max(map(len, lines)) <= 80


def test_lines_have_no_spaces_at_their_end_for_programs(
    ecm: Any, master: Any, status: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS")
    master.tells(status(reasons=("enough: no job waits for a slave",)))
    lines = ecm("explain", "--scaling", obj=master).stdout.splitlines()
    assert [line.rstrip() for line in lines] == lines
