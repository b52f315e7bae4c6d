"""`scripts/demo`: the cluster's whole life on the local cloud, with a table of times at the end."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from demo.stack import leftovers
from demo.user import ROOT, StepFailedError, User, environment, last_line, wait_for

JOBS, JOB_SECONDS = 6, 20
PATIENCE = 600
CLOUD = str(ROOT / "scripts" / "localcloud")

console = Console(highlight=False, soft_wrap=True)


class Story:
    """What happened when: steps with their times."""

    def __init__(self) -> None:
        self.times: list[tuple[str, float]] = []
        self.start = time.monotonic()

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        console.print(f"[bold]{what}[/bold]")
        start = time.monotonic()
        yield
        self.took(what, time.monotonic() - start)

    def took(self, what: str, seconds: float) -> None:
        self.times.append((what, seconds))
        console.print(f"   {what}: {seconds:.1f} s")

    def table(self) -> Table:
        table = Table("what", "seconds", title="How long it took")
        for what, seconds in [*self.times, ("all of it", time.monotonic() - self.start)]:
            table.add_row(what, f"{seconds:.1f}")
        return table


def demo(
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Leave cluster and cloud up, and say how to use them.")] = False,
    times: Annotated[Path | None, typer.Option("--json", help="Write the times there, too.")] = None,
) -> None:
    """Runs the whole job once: cloud, `pulumi up`, jobs, slaves that come and go, `pulumi destroy`, nothing left."""
    story = Story()
    try:
        _tell(story, keep=keep)
    except (StepFailedError, subprocess.TimeoutExpired) as error:
        console.print(f"[red]demo failed:[/red] {error}")
        raise typer.Exit(1) from None
    console.print(story.table())
    if times:
        times.write_text(json.dumps({what: round(seconds, 1) for what, seconds in story.times}) + "\n")


def _tell(story: Story, *, keep: bool) -> None:
    was_up = subprocess.run([CLOUD, "status"], capture_output=True, check=False).returncode == 0
    with story.step("local cloud up"):
        _cloud("up")
    user = User(environment())
    user.select()
    with story.step("pulumi up"):
        user.up(echo=True)
    with story.step("master is ready"):
        wait_for("the master's queue and controller", PATIENCE, user.master_is_ready)
    _jobs(user, story)
    if keep:
        console.print(_how_to_use(user))
        return
    with story.step("pulumi destroy"):
        user.destroy(echo=True)
    with story.step("nothing is left in the cloud"):
        if left := leftovers(user):
            raise StepFailedError(f"left in the cloud after the destroy: {', '.join(left)}")
    if was_up:
        console.print("The local cloud was up before; it stays up.")
        return
    with story.step("local cloud down"):
        _cloud("down")
    with story.step("nothing is left on this machine"):
        done = subprocess.run([CLOUD, "leftovers"], capture_output=True, text=True, check=False)
        if done.returncode:
            raise StepFailedError(
                f"left on this machine: {'; '.join(done.stdout.splitlines()[:5]) or last_line(done.stderr)}"
            )


def _jobs(user: User, story: Story) -> None:
    """Submits jobs and shows what happens until the last idle slave is gone."""
    console.print(f"[bold]{JOBS} jobs of {JOB_SECONDS} s, submitted by an ordinary user[/bold]")
    user.submit(JOBS, JOB_SECONDS)
    start = time.monotonic()
    marks: dict[str, float] = {}
    said = ""
    while "slaves gone" not in marks:
        if time.monotonic() - start > PATIENCE:
            raise StepFailedError(f"jobs and slaves aren't done after {PATIENCE} s: {said}")
        status = user.look()
        jobs, slaves = status["jobs"], status["slaves"]
        line = (
            f"jobs {jobs['idle']} idle {jobs['running']} running | slaves {_phases(slaves)} | "
            f"{status['slots']} slots in use | {'; '.join(status['reasons'])}"
        )
        now = time.monotonic() - start
        if line != said:
            console.print(f"   {now:5.0f} s  {line}")
            said = line
        if slaves:
            marks.setdefault("server requested", now)
        if jobs["running"] or any(slave["phase"] in ("idle", "busy") for slave in slaves):
            marks.setdefault("slave joined", now)
        if jobs["running"]:
            marks.setdefault("job running", now)
        if "job running" in marks and not jobs["running"] and not jobs["idle"]:
            marks.setdefault("jobs done", now)
            if not slaves:
                marks["slaves gone"] = now
        time.sleep(1)
    previous = 0.0
    for what, before in (
        ("server requested", "submit"),
        ("slave joined", "server requested"),
        ("job running", "slave joined"),
        ("jobs done", "job running"),
        ("slaves gone", "jobs done"),
    ):
        story.took(f"{before} → {what}", marks[what] - previous)
        previous = marks[what]


def _phases(slaves: list[dict[str, Any]]) -> str:
    phases = [slave["phase"] for slave in slaves]
    return ", ".join(f"{phases.count(phase)} {phase}" for phase in sorted(set(phases))) or "none"


def _cloud(verb: str) -> None:
    done = subprocess.run([CLOUD, verb], stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise StepFailedError(f"scripts/localcloud {verb} failed")


def _how_to_use(user: User) -> str:
    address = user.outputs()["masterIp"]
    return f"""
The cluster is up. In this folder:

   eval "$(scripts/localcloud env)"
   scripts/localcloud ssh {address}          log in to the master; then condor_submit, condor_q, condor_status
   pulumi stack output slaveCount --stack {user.stack}   how many slaves there are
   openstack server list                  the same, as the cloud sees it
   scripts/localcloud ssh {address} cat /run/ecm/status.json      what the controller sees, and its reasons

When you are done:

   pulumi destroy --stack {user.stack} && scripts/localcloud down
"""


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    typer.run(demo)
