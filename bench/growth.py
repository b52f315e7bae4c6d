"""How long the controller's own updates take for N more slaves, for one less and for N less, beside plain API calls.

The engine, the provider, the state in PostgreSQL and the controller's code are the real ones, and an update makes no
more slaves than the rule has it make; the cloud is a stand-in (bench/rig/openstack.py), or with --cloud the one of the
environment's OS_* variables. Beside it, in the same run: the same servers made and removed by openstacksdk, as many at
once, in a process of its own. The user's own `pulumi up`, which finds nothing to change, is measured at each size, too.

An update's time has the rendering of the slaves' user-data in it, with their tokens, but not the drains that come
before a removal: there is no HTCondor here. The controller's memory is that of this process, with its code, Pulumi's
library and what the user's update needs.
"""

import argparse
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import openstack

from bench import common
from bench.rig import plain, running, stack, watch
from bench.rig.openstack import Pace
from bench.rig.running import Backend, StandIn
from cluster.program import Change
from cluster.report import Shared
from controller.decide import BATCH
from controller.state import PARALLEL, State

SIZES = (10, 50, 200, 1000)
ROUNDS = 3
LARGE = 500
"""From so many slaves on, which take minutes, one round has to do."""
PREFIX = "ecm-bench-slave-"


@dataclass(frozen=True)
class Run:
    """What N slaves took, in one update or in several one after the other."""

    seconds: float
    updates: int = 1
    calls: int = 0
    files: int = 0
    bytes: int = 0
    request: float | None = None
    """Seconds until the first server was requested."""
    built: float | None = None
    """Seconds until the last server was ACTIVE, whoever knew of it; not told by a real cloud."""
    memory: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """What is measured on."""

    settings: Shared
    backend: Backend
    cloud: StandIn | None
    """None for a real one, which isn't asked for its calls."""
    state: State
    work: Path
    batch: int


def update(changes: Iterable[Change], place: Place) -> Run:
    """Runs updates by the controller's own code."""
    done: list[Change] = []
    there = dict(place.state.read().slaves)

    def change_all() -> None:
        for change in changes:
            for name in change.remove:
                del there[name]
            place.state.change(replace(change, keep=there), place.settings.slave, lambda _name: None)
            there.update(dict.fromkeys(change.create, "its id"))
            done.append(change)

    return replace(_updated(change_all, place), updates=len(done))


def nothing(_names: Sequence[str], place: Place) -> Run:
    """The user's own update, which declares every slave that there is, and changes none."""
    return _updated(lambda: stack.up(place.settings, place.work / "user"), place)


def _updated(act: Callable[[], None], place: Place) -> Run:
    if place.cloud:
        place.cloud.reset()
    before = place.backend.written()
    with watch.memory() as memory:
        began = time.time()
        act()
        ended = time.time()
    after = place.backend.written()
    run = _told(began, ended, place.cloud)
    return replace(run, files=after.files - before.files, bytes=after.bytes - before.bytes, memory=memory)


def _told(began: float, ended: float, cloud: StandIn | None) -> Run:
    """How long it took, and what the cloud was asked since its calls were last forgotten."""
    if not cloud:
        return Run(ended - began)
    calls = cloud.calls()
    asked = calls.first.get("POST /compute/v2.1/servers")
    return Run(
        ended - began,
        calls=calls.total,
        request=asked - began if asked else None,
        built=calls.built - began if calls.built else None,
    )


def grow(names: Sequence[str], place: Place) -> Run:
    made = (stack.slaves(part, place.settings) for part in parts(names, place.batch))
    return update((Change(new, frozenset(), place.settings.fingerprint) for new in made), place)


def parts(names: Sequence[str], size: int) -> list[Sequence[str]]:
    """What each of several updates has, one after the other."""
    return [names[start : start + size] for start in range(0, len(names), size)]


def one_less(names: Sequence[str], place: Place) -> Run:
    """The smallest change of a stack that has all the others."""
    return update([Change({}, frozenset(names[:1]))], place)


def shrink(names: Sequence[str], place: Place) -> Run:
    """Removes the rest."""
    return update([Change({}, frozenset(part)) for part in parts(names[1:], place.batch)], place)


def raw_grow(names: Sequence[str], place: Place) -> Run:
    new = stack.slaves(names, place.settings)
    return _raw(lambda: plain.apart(plain.grow, new, place.settings.slave, PARALLEL), place)


def raw_shrink(_names: Sequence[str], place: Place) -> Run:
    return _raw(lambda: plain.apart(plain.shrink, PREFIX, PARALLEL), place)


def _raw(act: Callable[[], plain.Times], place: Place) -> Run:
    if place.cloud:
        place.cloud.reset()
    return replace(_told(*act(), place.cloud), updates=0)


def measure(size: int, rounds: int, place: Place) -> list[dict[str, Run]]:
    """From no slave to `size` and back, by updates and by plain calls in turn; a dictionary for each round."""
    names = stack.names(size, PREFIX)
    found = []
    for number in range(rounds if size < LARGE else 1):
        runs = {}
        for act in (raw_grow, raw_shrink, grow, nothing, one_less, shrink):
            runs[act.__name__] = run = act(names, place)
            print(f"{size}, round {number + 1}, {act.__name__}: {run.seconds:.1f} s", flush=True)
        found.append(runs)
    return found


@contextmanager
def place(options: argparse.Namespace) -> Iterator[Place]:
    """A stack with no slave, on a state and a cloud of its own."""
    with ExitStack() as rig:
        backend = rig.enter_context(running.backend())
        work = Path(rig.enter_context(tempfile.TemporaryDirectory()))
        cloud = None if options.cloud else rig.enter_context(running.stand_in(_pace(options)))
        rig.enter_context(
            running.environment(
                {
                    **running.pulumi(),
                    "PULUMI_BACKEND_URL": backend.url,
                    "PULUMI_CONFIG_PASSPHRASE": "phrase",
                    **(cloud.environment if cloud else {}),
                }
            )
        )
        settings = stack.settings() if cloud else stack.settings_of(openstack.connect(), options.image, options.flavor)
        stack.up(settings, work / "user")
        backend.watch()
        yield Place(settings, backend, cloud, State(stack.NAME, work / "controller"), work, options.batch)


def exponent(seconds: Mapping[int, float]) -> float:
    """How time grows with size between the two largest ones: 1 is linear.

    With small ones, what an update takes whatever its size would hide what grows faster.
    """
    small, large = sorted(seconds)[-2:]
    return math.log(seconds[large] / seconds[small]) / math.log(large / small)


def ratios(rounds: Sequence[Mapping[str, Run]], ours: str, raw: str) -> list[float]:
    """Of the times of an update to those of the plain calls, round by round."""
    return [runs[ours].seconds / runs[raw].seconds for runs in rounds]


def overheads(rounds: Sequence[Mapping[str, Run]], ours: str, raw: str) -> list[float]:
    """By how many seconds an update takes longer than the plain calls, round by round."""
    return [runs[ours].seconds - runs[raw].seconds for runs in rounds]


def _sooner(rounds: Sequence[Mapping[str, Run]]) -> list[float]:
    """The same of the times until the last server is ACTIVE, when it boots and joins whoever knows of it."""
    return [(runs["grow"].built or 0) / (runs["raw_grow"].built or math.inf) for runs in rounds]


def typical(rounds: Sequence[Mapping[str, Run]], act: str) -> Run:
    """The run of the median time (of two, the slower one)."""
    return sorted((runs[act] for runs in rounds), key=lambda run: run.seconds)[len(rounds) // 2]


def results(by_size: Mapping[int, Sequence[Mapping[str, Run]]]) -> dict[str, Any]:
    """The numbers for the file."""
    found: dict[str, Any] = {"parallel": PARALLEL, "batch": BATCH}
    for which, ours, raw in (("", "grow", "raw_grow"), ("down_", "shrink", "raw_shrink")):
        more = {str(n): statistics.median(overheads(rounds, ours, raw)) for n, rounds in by_size.items()}
        found[f"{which}overhead_s"] = {n: round(seconds, 2) for n, seconds in more.items()}
        key = which or "up_"
        each = {str(n): ratios(rounds, ours, raw) for n, rounds in by_size.items()}
        found[f"{key}ratio"] = {n: round(statistics.median(values), 3) for n, values in each.items()}
        found[f"{key}ratio_spread"] = {n: [round(min(values), 3), round(max(values), 3)] for n, values in each.items()}
    if all(runs["grow"].built for rounds in by_size.values() for runs in rounds):
        found["active_ratio"] = {str(n): round(statistics.median(_sooner(r)), 3) for n, r in by_size.items()}
    for name in ("grow", "nothing", "one_less", "shrink", "raw_grow", "raw_shrink"):
        found[name] = {str(n): _plain(rounds, name) for n, rounds in by_size.items()}
    if len(by_size) > 1:
        for key, name in (("exponent", "grow"), ("raw_exponent", "raw_grow")):
            found[key] = round(exponent({n: typical(rounds, name).seconds for n, rounds in by_size.items()}), 3)
    return found


def _plain(rounds: Sequence[Mapping[str, Run]], act: str) -> dict[str, Any]:
    run = typical(rounds, act)
    return {
        "seconds": round(run.seconds, 1),
        "rounds": [round(runs[act].seconds, 1) for runs in rounds],
        "updates": run.updates,
        "calls": run.calls,
        "state_files": run.files,
        "state_mb": round(run.bytes / 1e6, 2),
        "request_s": None if run.request is None else round(run.request, 2),
        "active_s": None if run.built is None else round(run.built, 1),
        "memory_mb": {name: round(mib) for name, mib in run.memory.items()},
    }


def show(by_size: Mapping[int, Sequence[Mapping[str, Run]]]) -> None:
    rows = []
    for size, rounds in by_size.items():
        for name, other in (("grow", "raw_grow"), ("nothing", ""), ("one_less", ""), ("shrink", "raw_shrink")):
            run, raw = typical(rounds, name), typical(rounds, other) if other else None
            pairs = ratios(rounds, name, other) if other else []
            rows.append(
                (
                    f"{size:,} {name}",
                    f"{run.seconds:.1f}",
                    _spread([runs[name].seconds for runs in rounds], 1),
                    f"{raw.seconds:.1f}" if raw else "",
                    f"{statistics.median(overheads(rounds, name, other)):.1f}" if other else "",
                    f"{statistics.median(pairs):.2f}" if pairs else "",
                    _spread(pairs, 2),
                    f"{run.calls:,}",
                    f"{raw.calls:,}" if raw else "",
                    f"{run.files:,}",
                    f"{run.bytes / 1e6:.1f}",
                    " ".join(f"{run.memory.get(which, 0):.0f}" for which in watch.PROGRAMS),
                )
            )
    columns = ("slaves", "s", "spread", "raw s", "more s", "ratio", "spread", "calls", "raw", "writes", "MB", "MiB")
    title = f"Updates of N slaves, {PARALLEL} at once: medians (MiB: engine, provider, controller)"
    common.tell(title, columns, rows)


def _spread(values: Sequence[float], digits: int) -> str:
    return f"{min(values):.{digits}f}-{max(values):.{digits}f}" if len(values) > 1 else ""


def _pace(options: argparse.Namespace) -> Pace:
    return Pace(**{each.name: getattr(options, each.name) for each in fields(Pace)})


def main(arguments: Sequence[str] | None = None) -> None:
    parser = common.options("Updates of N slaves, beside plain API calls.")
    parser.add_argument("--sizes", type=lambda text: [common.whole(n) for n in text.split(",")], default=list(SIZES))
    parser.add_argument("--rounds", type=common.whole, default=ROUNDS, help=f"of sizes below {LARGE}")
    parser.add_argument(
        "--batch", type=common.whole, default=BATCH, help="slaves that one update makes or removes at most"
    )
    for each in fields(Pace):
        parser.add_argument(f"--{each.name}", type=type(each.default), default=each.default, help="of the stand-in")
    parser.add_argument("--cloud", action="store_true", help="the cloud of OS_*, with real servers")
    parser.add_argument("--image", default="debian-13-condor", help="with --cloud")
    parser.add_argument("--flavor", default="small", help="with --cloud")
    options = parser.parse_args(arguments)
    if options.small:
        options.sizes, options.rounds = [2, 4], 1
        options.build, options.delete, options.post = 0.1, 0.1, 0.0
    with place(options) as found:
        by_size = {size: measure(size, options.rounds, found) for size in options.sizes}
    show(by_size)
    numbers = results(by_size) | {
        "state": "postgres",
        "cloud": os.environ.get("OS_AUTH_URL") if options.cloud else "stand-in",
    }
    print(f"{{up_ratio}} up_ratio, exponent {numbers.get('exponent')}".format(**numbers))
    common.save(options.json, "growth", numbers)


if __name__ == "__main__":
    common.run(main)
