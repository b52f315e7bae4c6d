"""`python -m controller`: what systemd runs on the master as the user `ecm`."""

import os
import signal
import sys
import tempfile
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import structlog
import typer
from prometheus_client import CollectorRegistry

from cluster.errors import EcmError
from controller import checks, logs, masking, metrics, rehearsal, status
from controller.apply import Tools
from controller.errors import OutsideError
from controller.journal import Journal, replay
from controller.loop import Loop
from controller.memory_file import MemoryFile
from controller.metrics import Metrics
from controller.release import Releases
from controller.reporter import Reporter
from controller.requests import Requests
from controller.servers import Cloud
from controller.single import only_one
from controller.state import State

RUN = Path("/run/ecm")
HOME = Path("/var/lib/ecm")
MEMORY, JOURNAL, RELEASE = HOME / "memory.json", HOME / "journal", HOME / "release.json"

log = structlog.get_logger()
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    *,
    dry_run: Annotated[bool, typer.Option(help="Look, decide and print what would be done; do nothing.")] = False,
    once: Annotated[bool, typer.Option(help="With --dry-run: one look.")] = False,
    log_format: Annotated[logs.Style, typer.Option(envvar="ECM_LOG")] = logs.Style.HUMAN,
    metrics_port: Annotated[int, typer.Option(envvar="ECM_METRICS_PORT", help="On 127.0.0.1.")] = metrics.PORT,
) -> None:
    """Runs the controller until SIGTERM or SIGINT; a running update ends first, a long one early."""
    if context.invoked_subcommand:
        return
    if once and not dry_run:
        raise typer.BadParameter("--once goes with --dry-run")
    logs.configure(log_format, os.environ)
    try:
        if dry_run:
            _rehearse(once=once)
        else:
            _run(metrics_port)
    except (OutsideError, EcmError) as error:
        log.error("controller can't start", why=str(error))
        raise typer.Exit(1) from None


@app.command("replay")
def replay_journal(path: Annotated[Path, typer.Argument(exists=True)] = JOURNAL) -> None:
    """Decides everything in a journal again; fails when the rule now says something else."""
    done = replay(path)
    for found in done.differences:
        typer.echo(f"{found.decision.at.isoformat()}: decided {found.decision.plan}, now {found.now}")
    for line in done.unreadable:
        typer.echo(f"{line.file}:{line.line}: not readable: {line.why}")
    typer.echo(
        f"{done.decisions} decisions, {len(done.differences)} different, {len(done.unreadable)} lines unreadable"
    )
    raise typer.Exit(1 if done.differences else 0)


def _run(metrics_port: int) -> None:
    now = _now()
    with only_one(HOME / "controller.lock", now):
        stop = _stop_by_signal()
        log.info("controller starts", version=status.CONTROLLER, **masking.configuration(os.environ))
        stack = _stack()
        memory_file = MemoryFile(MEMORY)
        tools = Tools(
            cloud=Cloud(),
            state=State(stack, HOME / "work"),
            key_file=RUN / "pool-key",
            prefix=f"ecm-{stack.split('/')[-1]}-slave-",
            clock=_now,
            stop=stop,
        )
        checks.outside(tools.cloud, tools.state)
        registry = CollectorRegistry()
        file = RUN / "status.json"
        reporter = Reporter(file, status.begin(file, now), Journal(JOURNAL), Metrics(registry))
        metrics.serve(registry, metrics_port)
        Loop(tools, memory_file.load(), memory_file, reporter, Releases(RELEASE), _now).run()
        log.info("controller ends")


def _rehearse(*, once: bool) -> None:
    # A folder of its own: the running controller works in the other one.
    with tempfile.TemporaryDirectory() as folder:
        cloud, state = Cloud(), State(_stack(), Path(folder))
        memory = MemoryFile(MEMORY).load()
        stop, said = _stop_by_signal(), ""
        while not stop.is_set():
            if (lines := rehearsal.look(cloud, state, memory, Requests(), _now())) != said:
                typer.echo(said := lines)
            if once:
                break
            stop.wait(rehearsal.PAUSE)


def _stack() -> str:
    try:
        return os.environ["ECM_STACK"]
    except KeyError:
        raise EcmError(
            "ECM_STACK is not set - the controller runs with the environment of its service - see docs/operations.md"
        ) from None


def _stop_by_signal() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    sys.exit(app())
