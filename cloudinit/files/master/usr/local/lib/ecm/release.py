"""Puts the controller in place that the stack's state names: runs before each start of the controller, as its user.

A release is a folder of its own, named by its digest; `current` points to the one that runs. What can't be had or
doesn't fit leaves the last one in place, with a line that says why. A new one that ends three times before it has once
seen the whole cluster is given up for the last that had.
"""

import base64
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

HOME = Path("/opt/ecm")
NOTES = Path("/var/lib/ecm/release.json")
STARTS = 3
PATIENCE = 120
"""Seconds for the state to answer: the release that is here can start without."""
PIP_PATIENCE = 300
"""Seconds for the environment's pins: the release that is here has those that it needs."""
TROUBLE = (OSError, ValueError, KeyError, tarfile.TarError, subprocess.SubprocessError)
NOT_YET = "does not have output property"
"""What `pulumi` says before the first `pulumi up` has ended, which writes the release."""
UNREADABLE = (
    "the stack's state can't be read from here",
    "mend PULUMI_BACKEND_URL or its login in /etc/ecm/controller.env - it is tried again by itself",
)
NOT_INSTALLED = ("the controller can't be installed", "sudo journalctl -u ecm-controller - it is tried again by itself")


def main(home: Path = HOME, notes_file: Path = NOTES) -> int:
    """Exit status: 0 when there is a controller to start."""
    current = home / "current"
    notes = read(notes_file)
    why = ""
    failing = UNREADABLE
    try:
        wanted = asked()
        failing = NOT_INSTALLED
        given_up = notes.get("failed", {})
        notes.pop("missed", None)
        if wanted["digest"] not in (current.resolve().name, given_up.get("digest")):
            install(wanted, home)
            notes = {"proved": notes.get("proved")}
            say(f"release {wanted['digest']} is in place")
    except TROUBLE as error:
        # The controller would otherwise end for the same release again at once, and never get to work.
        notes["missed"] = int(time.time())
        why = told(error)
        say(f"the release can't be had or installed - {why}")
    if not current.exists():
        # For `ecm`, which is here before the controller is.
        what, to_do = failing
        write(
            notes_file.with_name("why-not"),
            "'pulumi up' hasn't ended - wait a minute" if NOT_YET in why else f"{what} - {why} - {to_do}",
        )
        return 1
    count(notes, home)
    write(notes_file, json.dumps(notes))
    return 0


def read(notes_file: Path) -> dict[str, Any]:
    """What earlier runs and the controller left."""
    try:
        notes: dict[str, Any] = json.loads(notes_file.read_text())
    except (OSError, ValueError):
        return {}
    return notes


def write(file: Path, text: str) -> None:
    """Notes what the next run, the controller or `ecm` is to know, whole or not; a full disk is no reason to stop."""
    draft = file.with_name(f"{file.name}.new")
    try:
        draft.write_text(text)
        draft.replace(file)
    except OSError as error:
        say(f"{file} can't be written - {error.strerror}")


def asked() -> dict[str, str]:
    """The stack's output `controller`."""
    command = [
        "pulumi",
        "stack",
        "output",
        "controller",
        "--json",
        "--show-secrets",
        "--stack",
        os.environ["ECM_STACK"],
    ]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE)
    release: dict[str, str] = json.loads(answer.stdout)
    return release


def install(release: dict[str, str], home: Path) -> None:
    """Unpacks a release, brings the environment to its pins and makes it the current one."""
    content = base64.b64decode(release["archive"])
    digest = hashlib.sha256(content).hexdigest()[: len(release["digest"])]
    if digest != release["digest"]:
        raise ValueError(f"its digest is {digest} and not {release['digest']}")
    folder = home / "releases" / digest
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:xz") as archive:
        archive.extractall(folder, filter="data")
    fit_bindings(folder / "requirements.txt", home / "bindings")
    bring_pins(folder, home)
    switch(folder, home)


def bring_pins(folder: Path, home: Path) -> None:
    """Brings the environment, which all releases share, to the pins of this one."""
    requirements = folder / "requirements.txt"
    pip = [str(home / "venv/bin/python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    pip += ["--no-deps", *(["--require-hashes"] if has_hashes(requirements) else []), "-r", str(requirements)]
    subprocess.run(pip, check=True, capture_output=True, text=True, timeout=PIP_PATIENCE)


def fit_bindings(requirements: Path, bindings: Path) -> None:
    """Pins the HTCondor bindings that can log in to this master's daemons."""
    said = subprocess.run(["condor_version"], check=True, capture_output=True, text=True).stdout
    major = said.split("CondorVersion: ")[1].split(".")[0]
    fitting = dict(line.split(" ", 1) for line in bindings.read_text().splitlines())
    if major not in fitting:
        raise ValueError(f"there are no bindings for HTCondor {major}, only for {', '.join(fitting)}")
    pin = fitting[major] if has_hashes(requirements) else fitting[major].split(" ")[0]
    lines = requirements.read_text().splitlines()
    pinned = [pin if line.startswith("htcondor==") else line for line in lines]
    requirements.write_text("\n".join([*pinned, ""]))


def has_hashes(requirements: Path) -> bool:
    """Whether the pins have hashes, as those of older releases don't: pip takes all with one, or all without."""
    return " --hash=" in requirements.read_text()


def switch(folder: Path, home: Path) -> None:
    """Makes this folder the current one, in one step."""
    draft = home / "current.new"
    draft.unlink(missing_ok=True)
    draft.symlink_to(folder)
    draft.replace(home / "current")


def count(notes: dict[str, Any], home: Path) -> None:
    """Counts the starts of a release that the controller hasn't proved yet; after `STARTS` the proved one is taken."""
    digest = (home / "current").resolve().name
    if notes.get("proved") == digest:
        return
    notes["starts"] = notes.get("starts", 0) + 1
    proved = home / "releases" / str(notes.get("proved"))
    if notes["starts"] > STARTS and proved.is_dir():
        notes["failed"] = {"digest": digest, "why": f"it ended {STARTS} times before it had seen the whole cluster"}
        notes["starts"] = 0
        say(f"release {digest} is given up - {notes['failed']['why']} - back to {proved.name}")
        try:
            bring_pins(proved, home)
        except TROUBLE as error:
            say(f"its pins can't be installed - {told(error)}")
        switch(proved, home)


def told(error: Exception) -> str:
    """An error in one line: of a program its line of error or its last one, without the password of a URL."""
    if isinstance(error, subprocess.TimeoutExpired):
        return f"{error.cmd[0]} doesn't answer for {error.timeout} s"
    if not isinstance(error, subprocess.CalledProcessError):
        return repr(error)
    lines = (error.stderr or error.stdout or "").strip().splitlines() or [f"{error.cmd[0]} failed"]
    said = [line for line in lines if line.startswith("error:")] or lines
    url = re.sub(r"(://[^\s:/@]*):\S+@", r"\1:***@", said[-1].removeprefix("error: "))
    return re.sub(r"((?:pass\w*|secret|token|sig|key)=)[^&\s;'\"]+", r"\1***", url, flags=re.IGNORECASE)


def say(what: str) -> None:
    """For the journal."""
    print(f"ecm: {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
