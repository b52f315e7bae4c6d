"""What runs before each start of the controller: /usr/local/lib/ecm/release.py, with stand-ins for what it calls."""

import importlib.util
import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cloudinit import payload
from controller.release import Releases

if TYPE_CHECKING:
    from types import ModuleType

FILES = Path(__file__).parents[2] / "cloudinit/files/master"
SCRIPT = FILES / "usr/local/lib/ecm/release.py"
ECM = FILES / "usr/local/bin/ecm"
CONDOR = """#!/bin/sh
echo '$CondorVersion: 25.0.14 2026-01-01 BuildID: x $'
"""
PIP = """#!/bin/sh
echo "$*" >>"$CALLS"
[ ! -e "$PIP_FAILS" ] || { echo "no such version" >&2; exit 1; }
"""
PULUMI = """#!/bin/sh
[ -s "$OUTPUT" ] || { echo "error: current stack does not have output property 'controller'" >&2; exit 255; }
cat "$OUTPUT"
"""
PINS = "htcondor==23.10.29 \\\n    --hash=sha256:1\nrich==14.0.0 \\\n    --hash=sha256:3\n"


class Master:
    """A master's files, and its programs as stand-ins."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home, self.notes, self.output = folder / "opt", folder / "release.json", folder / "output"
        self.calls, self.pip_fails = folder / "calls", folder / "pip-fails"
        for path, text in (
            (folder / "bin/condor_version", CONDOR),
            (folder / "bin/pulumi", PULUMI),
            (self.home / "venv/bin/python", PIP),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755)
        (self.home / "bindings").write_text(
            "23 htcondor==23.10.29 --hash=sha256:1\n25 htcondor==25.0.99 --hash=sha256:2\n"
        )
        for name, value in (
            ("PATH", f"{folder}/bin:/usr/bin:/bin"),
            ("ECM_STACK", "organization/ecm/dev"),
            ("OUTPUT", str(self.output)),
            ("CALLS", str(self.calls)),
            ("PIP_FAILS", str(self.pip_fails)),
        ):
            monkeypatch.setenv(name, value)
        spec = importlib.util.spec_from_file_location("release", SCRIPT)
        assert spec
        assert spec.loader
        self.script: ModuleType = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.script)

    def offer(self, tmp_path: Path, text: str, pins: str = PINS) -> str:
        """Puts a release into the state; gives its digest."""
        root = tmp_path / "checkout"
        (root / "controller").mkdir(parents=True, exist_ok=True)
        (root / "controller" / "decide.py").write_text(text)
        (root / "requirements.lock").write_text(pins)
        release = payload.release(root)
        self.output.write_text(json.dumps({"digest": release.digest, "archive": release.archive}))
        return release.digest

    def start(self) -> int:
        status: int = self.script.main(self.home, self.notes)
        return status

    def ecm(self) -> str:
        """What `ecm status` says on a master like this."""
        script = ECM.read_text().replace("/opt/ecm", str(self.home)).replace("/var/lib/ecm", str(self.notes.parent))
        done = subprocess.run(["sh", "-c", script, "ecm", "status"], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        return done.stderr

    def current(self) -> str:
        return (self.home / "current").resolve().name

    def note(self, **notes: Any) -> None:
        """What the controller writes."""
        self.notes.write_text(json.dumps(json.loads(self.notes.read_text()) | notes))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Master:
    return Master(tmp_path, monkeypatch)


def test_the_first_start_waits_for_the_output_and_then_has_all(
    machine: Master, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert machine.start() == 1
    assert "does not have output property" in capsys.readouterr().out
    digest = machine.offer(tmp_path, "A = 1\n")
    assert machine.start() == 0
    assert machine.current() == digest
    assert (machine.home / "current/controller/decide.py").read_text() == "A = 1\n"
    assert "htcondor==25.0.99 --hash=sha256:2\n" in (machine.home / "current/requirements.txt").read_text()
    assert f"--require-hashes -r {machine.home}/releases/{digest}/requirements.txt" in machine.calls.read_text()


def test_a_release_from_before_its_pins_had_hashes_is_taken_too(machine: Master, tmp_path: Path) -> None:
    digest = machine.offer(tmp_path, "A = 1\n", pins="htcondor==23.10.29\nrich==14.0.0\n")
    assert machine.start() == 0
    assert machine.current() == digest
    requirements = (machine.home / "current/requirements.txt").read_text()
    assert requirements == "htcondor==25.0.99\nrich==14.0.0\n", "for pip all have a hash, or none"
    assert "--require-hashes" not in machine.calls.read_text()


def fails(line: str) -> str:
    return f"echo '{line}' >&2; echo >&2; exit 255"


@pytest.mark.parametrize(
    ("pulumi", "says"),
    [
        (fails("error: current stack does not have output property"), "'pulumi up' hasn't ended - wait a minute"),
        (
            fails('error: unable to open "postgres://ecm:hunter2@db/x": no route'),
            'state can\'t be read from here - unable to open "postgres://ecm:***@db/x": no route - mend PULUMI_BACKEND',
        ),
        (
            fails('error: open "postgres://db/x?user=ecm&password=hunter2": refused'),
            'open "postgres://db/x?user=ecm&password=***": refused',
        ),
        ("exec sleep 60", "the stack's state can't be read from here - pulumi doesn't answer for 0.5 s - mend"),
        ("echo {}", "the controller can't be installed - KeyError('digest') - sudo journalctl -u ecm-controller"),
    ],
)
def test_ecm_says_what_keeps_the_controller_away_from_a_new_master(
    machine: Master, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pulumi: str, says: str
) -> None:
    assert "the first boot hasn't ended" in machine.ecm()
    monkeypatch.setattr(machine.script, "PATIENCE", 0.5)
    (tmp_path / "bin/pulumi").write_text(f"#!/bin/sh\n{pulumi}\n")
    assert machine.start() == 1
    said = machine.ecm()
    assert said.startswith("ecm: the controller isn't here yet - ")
    assert says in said
    assert "hunter2" not in said


def test_a_start_with_nothing_new_installs_nothing(machine: Master, tmp_path: Path) -> None:
    machine.offer(tmp_path, "A = 1\n")
    machine.start()
    machine.start()
    assert len(machine.calls.read_text().splitlines()) == 1


def test_a_new_release_takes_the_place_of_the_old_one(machine: Master, tmp_path: Path) -> None:
    machine.offer(tmp_path, "A = 1\n")
    machine.start()
    digest = machine.offer(tmp_path, "A = 2\n")
    assert machine.start() == 0
    assert machine.current() == digest


@pytest.mark.parametrize("trouble", ["pip", "digest", "backend"])
def test_what_goes_wrong_leaves_the_old_one_in_place(
    machine: Master, tmp_path: Path, capsys: pytest.CaptureFixture[str], trouble: str
) -> None:
    old = machine.offer(tmp_path, "A = 1\n")
    machine.start()
    machine.offer(tmp_path, "A = 2\n")
    match trouble:
        case "pip":
            machine.pip_fails.touch()
        case "digest":
            machine.output.write_text(json.dumps(json.loads(machine.output.read_text()) | {"digest": "0" * 16}))
        case "backend":
            machine.output.unlink()
    assert machine.start() == 0
    assert machine.current() == old
    assert "the release can't be had or installed" in capsys.readouterr().out
    releases = Releases(machine.notes, running=old)
    assert not releases.due("any other", datetime.now(UTC)), "or the old one would end again at once"


def test_what_was_missed_is_forgotten_when_it_is_had(machine: Master, tmp_path: Path) -> None:
    machine.offer(tmp_path, "A = 1\n")
    machine.start()
    machine.note(missed=1)
    machine.start()
    assert "missed" not in json.loads(machine.notes.read_text())


def test_notes_that_cannot_be_written_do_not_keep_the_controller_from_its_start(
    machine: Master, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.offer(tmp_path, "A = 1\n")
    machine.notes = tmp_path / "no folder" / "release.json"
    assert machine.start() == 0
    assert "can't be written" in capsys.readouterr().out


def test_a_password_in_what_pulumi_says_is_not_shown(
    machine: Master, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pulumi = tmp_path / "bin/pulumi"
    pulumi.write_text("#!/bin/sh\necho 'error: open postgres://ecm:hunter2@db/pulumi: no route' >&2; exit 255\n")
    machine.start()
    said = capsys.readouterr().out
    assert "postgres://ecm:***@db/pulumi: no route" in said


def test_a_release_that_never_works_is_given_up_for_the_last_that_did(machine: Master, tmp_path: Path) -> None:
    good = machine.offer(tmp_path, "A = 1\n")
    machine.start()
    machine.note(proved=good, starts=0)
    bad = machine.offer(tmp_path, "A = oops\n")
    for _ in range(machine.script.STARTS):
        machine.start()
        assert machine.current() == bad
    machine.start()
    assert machine.current() == good
    assert f"releases/{good}/requirements.txt" in machine.calls.read_text().splitlines()[-1], "with its pins"
    machine.start()
    assert machine.current() == good, "it isn't taken again"
    better = machine.offer(tmp_path, "A = 3\n")
    machine.start()
    assert machine.current() == better


def test_restarts_on_purpose_do_not_count_against_a_release(machine: Master, tmp_path: Path) -> None:
    good = machine.offer(tmp_path, "A = 1\n")
    machine.start()
    machine.note(proved=good, starts=0)
    new = machine.offer(tmp_path, "A = 2\n")
    for _ in range(3 * machine.script.STARTS):
        machine.start()
        Releases(machine.notes, running=new).forgive()
    assert machine.current() == new


def test_a_pip_that_hangs_leaves_the_old_one_in_place(
    machine: Master, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = machine.offer(tmp_path, "A = 1\n")
    machine.start()
    machine.offer(tmp_path, "A = 2\n")
    (machine.home / "venv/bin/python").write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr(machine.script, "PIP_PATIENCE", 0.1)
    assert machine.start() == 0
    assert machine.current() == old


def test_a_release_that_works_may_be_started_any_number_of_times(machine: Master, tmp_path: Path) -> None:
    digest = machine.offer(tmp_path, "A = 1\n")
    machine.start()
    machine.note(proved=digest, starts=0)
    for _ in range(9):
        assert machine.start() == 0
    assert json.loads(machine.notes.read_text())["starts"] == 0
