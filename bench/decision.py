"""How long one tick takes, and how much memory, by the number of idle jobs and of slaves: on a real HTCondor.

Beside it, on the same queue, the two ways that others take: all job ads by the bindings, and what condor_q prints.
Each way is a process of its own, which counts the idle jobs; its memory is the most that it had. OpenStack is the
stand-in, which the controller looks at as at any cloud. Most ticks don't, so those that do are told apart.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import classad2
import htcondor2

import controller.__main__  # noqa: F401 - its memory is the whole controller's
from bench import common
from bench.realpool import CALL, NoPoolError, RealPool, real_pool
from bench.rig import running, watch
from bench.rig.openstack import Pace
from cluster.cloud import Flavor
from cluster.nodes import MADE_FROM_TAG
from cluster.report import Shared, SlaveTemplate
from cluster.servers import CLUSTER_TAG, ROLE_TAG
from controller.decide import decide
from controller.loop import limits
from controller.observe import Memory, observe
from controller.servers import Cloud
from controller.state import View

JOBS = (1_000, 10_000, 100_000)
SLAVES = (10, 100, 1_000)
ROUNDS = 5
REQUESTS = 50
"""Distinct requests of memory in each of ten submissions."""
EACH = 8
"""Jobs on a full slave."""
CPUS = (1, 1, 1, 2, 4, 8, 1, 1, 1, 1)
SETTINGS = Shared(
    min_slaves=0,
    max_slaves=2_000,
    idle_time=600,
    waiting_jobs_threshold=0,
    waiting_jobs_time=60,
    join_timeout=600,
    poll_interval=3,
    master_address="127.0.0.1",
    slave=SlaveTemplate(
        cluster_id="c",
        image_id="i",
        flavor=Flavor("f", "large", 8, 16_000, 80),
        network_id="n",
        security_group="default",
        key_name="k",
    ),
)
QUEUE = """
MAX_JOBS_PER_OWNER = 1000000
MAX_JOBS_PER_SUBMISSION = 1000000
MAX_JOBS_SUBMITTED = 1000000
"""


def names(slaves: int) -> list[str]:
    return [f"s{number:04}" for number in range(slaves)]


def full(slaves: int) -> list[str]:
    """Those that have as many jobs as they can."""
    return [name for number, name in enumerate(names(slaves)) if number % 20]


def servers(slaves: int) -> list[dict[str, Any]]:
    """What was asked of OpenStack for them."""
    tags = {CLUSTER_TAG: SETTINGS.slave.cluster_id, ROLE_TAG: "slave", MADE_FROM_TAG: SETTINGS.fingerprint}
    return [{"name": name, "metadata": tags} for name in names(slaves)]


def tick(slaves: int, rounds: int) -> dict[str, Any]:
    """Ticks as the controller does them; the first, which learns what slaves offer, is not counted.

    A round is one that looks at OpenStack, and one right after it that has no need to.
    """
    cloud, memory = Cloud(), Memory()
    view = View({server.name: server.id for server in cloud.slaves(SETTINGS.slave.cluster_id)})
    if len(view.slaves) != slaves:
        raise NoPoolError(f"OpenStack has {len(view.slaves)} slaves, not {slaves}")
    _tick(cloud, view, memory)
    looks, ticks, nova = [], [], []
    for _ in range(rounds):
        memory.updated()
        looks.append(sum(_tick(cloud, view, memory)[:2]))
        ticks.append(_tick(cloud, view, memory))
        began = time.perf_counter()
        cloud.slaves(SETTINGS.slave.cluster_id)
        cloud.quota_left(SETTINGS.slave.flavor)
        nova.append(time.perf_counter() - began)
    observing, deciding, idle = zip(*ticks, strict=True)
    return {"observe": observing, "decide": deciding, "idle": idle[-1], "with_nova": looks, "nova": nova}


def _tick(cloud: Cloud, view: View, memory: Memory) -> tuple[float, float, int]:
    """Seconds of looking and of deciding, and the idle jobs."""
    began = time.perf_counter()
    seen = observe(cloud, view, SETTINGS, memory, datetime.now(UTC))
    between = time.perf_counter()
    if seen.unknown:
        raise NoPoolError("; ".join(seen.unknown))
    if (busy := sum(slave.running for slave in seen.slaves)) != len(full(len(view.slaves))):
        raise NoPoolError(f"{busy} of {len(view.slaves)} slaves are seen to run jobs")
    ready = time.perf_counter()
    decide(seen, limits(SETTINGS, memory.offer(SETTINGS)), datetime.now(UTC))
    return between - began, time.perf_counter() - ready, sum(group.idle for group in seen.jobs)


def bindings(_slaves: int, rounds: int) -> dict[str, Any]:
    """All job ads, whole."""
    return _timed(lambda: sum(ad["JobStatus"] == 1 for ad in htcondor2.Schedd(_schedd()).query()), rounds)


def printed(_slaves: int, rounds: int) -> dict[str, Any]:
    """What condor_q prints of each job: the sixth word of a line that begins with its number is its status."""
    return _timed(lambda: sum(line.split()[5] == "I" for line in _condor_q() if line[:1].isdigit()), rounds)


WAYS = {"tick": tick, "bindings": bindings, "printed": printed}


def _timed(count: Callable[[], int], rounds: int) -> dict[str, Any]:
    times, idle = [], 0
    for _ in range(rounds):
        began = time.perf_counter()
        idle = count()
        times.append(time.perf_counter() - began)
    return {"observe": times, "decide": [0.0], "idle": idle}


def _schedd() -> Any:  # noqa: ANN401 - the bindings have no types
    return htcondor2.Collector().query(htcondor2.AdType.Schedd, None, ["Name", "MyAddress", "CondorVersion"])[0]


def _condor_q() -> list[str]:
    command = (*json.loads(os.environ[CALL]), "condor_q", "-allusers", "-nobatch")
    lines = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    return [line.strip() for line in lines]


def measure(way: str, slaves: int, rounds: int) -> dict[str, Any]:
    """One way in a process of its own."""
    command = (sys.executable, "-W", "ignore", "-m", "bench.decision", "--way", way)
    sizes = ("--slaves", str(slaves), "--rounds", str(rounds))
    answer: dict[str, Any] = json.loads(subprocess.run([*command, *sizes], stdout=subprocess.PIPE, check=True).stdout)
    return answer


def on_openstack(slaves: int, rounds: int) -> dict[str, Any]:
    """Our way, with a stand-in of OpenStack that has these slaves."""
    with running.stand_in(Pace(build=0, delete=0, post=0)) as cloud, running.environment(cloud.environment):
        cloud.have(servers(slaves))
        return measure("tick", slaves, rounds)


def submit(pool: RealPool, jobs: int) -> None:
    """Adds idle jobs of two users, of 500 requests."""
    for number, cpus in enumerate(CPUS):
        requests = "".join(f"{200 + 100 * step + number}\n" for step in range(REQUESTS))
        each = jobs // len(CPUS) // requests.count("\n")
        pool.submit(
            ("ada", "bob")[number % 2],
            f"executable=/bin/sleep\narguments=9\nrequest_cpus={cpus}\nrequest_disk={1000 + number}\n"
            f"queue {each} request_memory from (\n{requests})\n",
        )


def begin(pool: RealPool, slaves: int) -> str:
    """Adds jobs that could run on so many slaves; their cluster's id. They are held: see `run_on`."""
    rows = "".join(f"{name}\n" for name in full(slaves))
    job = 'executable=/bin/sleep\narguments=9\nhold=true\nMy.RemoteHost="slot1@$(name).pool"\n'
    return pool.submit("ada", f"{job}queue {EACH} name from (\n{rows})\n").split(".")[0]


def run_on(slaves: int, cluster: str) -> None:
    """Has the schedd say of these jobs that those of so many slaves run."""
    schedd, these = htcondor2.Schedd(_schedd()), f"ClusterId == {cluster}"
    schedd.edit(these, "JobStatus", "5")
    schedd.edit(f"{these} && ProcId < {EACH * len(full(slaves))}", "JobStatus", "2")


def advertise(slaves: int) -> None:
    """Ads of slaves, and of no others: most of them full, and they take no job, as they are made up."""
    collector = htcondor2.Collector()
    others = classad2.ClassAd({"MyType": "Query", "TargetType": "Machine"})
    others["Requirements"] = classad2.ExprTree("EcmSlave =!= undefined")
    collector.advertise([others], "INVALIDATE_STARTD_ADS")
    ads = []
    busy = set(full(slaves))
    for name in names(slaves):
        ads.append(_slot(name, full=name in busy))
        ads += [_dynamic(name, job) for job in range(1, EACH + 1) if name in busy]
    for first in range(0, len(ads), 100):
        collector.advertise([classad2.ClassAd(ad) for ad in ads[first : first + 100]], "UPDATE_STARTD_AD")


def _slot(name: str, *, full: bool) -> Mapping[str, Any]:
    now = int(time.time())
    return {
        "MyType": "Machine",
        "Name": f"slot1@{name}.pool",
        "Machine": f"{name}.pool",
        "EcmSlave": name,
        "EcmJobs": EACH,
        "SlotType": "Partitionable",
        "PartitionableSlot": True,
        "State": "Unclaimed",
        "Activity": "Idle",
        "Arch": "X86_64",
        "OpSys": "LINUX",
        "HasFileTransfer": True,
        "START": False,
        "Cpus": 0 if full else 8,
        "Memory": 500 if full else 15_000,
        "Disk": 80 * 2**20,
        "Rank": 0.0,
        "TotalSlotCpus": 8,
        "TotalSlotMemory": 15_000,
        "TotalSlotDisk": 80 * 2**20,
        "NumDynamicSlots": EACH if full else 0,
        "NumDynamicSlotsTime": now - 100,
        "DaemonStartTime": now - 1000,
        "MyCurrentTime": now,
        "EnteredCurrentActivity": now - 100,
        "ClassAdLifetime": 86_400,
        "Requirements": classad2.ExprTree("START && TARGET.RequestMemory <= Memory"),
        "StartdIpAddr": f"<127.0.0.1:1?sock={name}>",
        "MyAddress": f"<127.0.0.1:1?sock={name}>",
    }


def _dynamic(name: str, job: int) -> Mapping[str, Any]:
    """What a job's slot differs in from its slave's."""
    return {
        **_slot(name, full=True),
        "Name": f"slot1_{job}@{name}.pool",
        "SlotType": "Dynamic",
        "PartitionableSlot": False,
        "DynamicSlot": True,
        "State": "Claimed",
        "Activity": "Busy",
        "RemoteOwner": "ada@pool",
        "RemoteUser": "ada@pool",
        "JobId": f"1.{job}",
        "Cpus": 1,
        "Memory": 1_800,
    }


def grouped_by_htcondor(patience: float = 300) -> None:
    """Waits for a negotiation cycle, after which the schedd has grouped all jobs."""
    end = time.monotonic() + patience
    schedd = htcondor2.Schedd(_schedd())
    while schedd.query("JobStatus == 1 && AutoClusterId is undefined", ["ProcId"], limit=1):
        if time.monotonic() > end:
            raise NoPoolError("HTCondor doesn't look at its jobs")
        time.sleep(2)


def run(jobs: Sequence[int], slaves: Sequence[int], rounds: int) -> tuple[list[tuple[str, ...]], dict[str, Any]]:
    """Every way at every size, in one pool that grows."""
    rows: list[tuple[str, ...]] = []
    results: dict[str, Any] = {}
    queued, ours = 0, {}
    with real_pool(settings=QUEUE) as pool:
        running_jobs = begin(pool, max(slaves))
        for wanted in jobs:
            submit(pool, wanted - queued)
            queued = wanted
            for there in slaves:
                advertise(there)
                run_on(there, running_jobs)
                grouped_by_htcondor()
                ours = on_openstack(there, rounds)
                rows.append(_row(wanted, f"{there:,}", "this one", ours, ours))
                results |= {
                    f"tick_s_{wanted}_{there}": round(_whole(ours), 4),
                    f"tick_with_nova_s_{wanted}_{there}": round(statistics.median(ours["with_nova"]), 4),
                    f"nova_look_s_{there}": round(statistics.median(ours["nova"]), 4),
                }
            others = {way: measure(way, 0, min(3, rounds)) for way in ("bindings", "printed")}
            rows += [_row(wanted, "", way, other, ours) for way, other in others.items()]
            if {other["idle"] for other in (ours, *others.values())} != {wanted}:
                raise NoPoolError(f"the ways don't agree on {wanted} idle jobs")
            results |= {
                f"tick_s_{wanted}": round(_whole(ours), 4),
                f"observe_s_{wanted}": round(statistics.median(ours["observe"]), 4),
                f"decide_s_{wanted}": round(statistics.median(ours["decide"]), 4),
                f"rss_mb_{wanted}": ours["rss_mb"],
                f"full_query_s_{wanted}": round(_whole(others["bindings"]), 4),
                f"full_query_rss_mb_{wanted}": others["bindings"]["rss_mb"],
                f"condor_q_s_{wanted}": round(_whole(others["printed"]), 4),
                # Of the largest queue, which comes last: how many times as long a full query takes.
                "full_query_ratio": round(_whole(others["bindings"]) / _whole(ours), 2),
            }
    return rows, results


def _whole(measured: Mapping[str, Any]) -> float:
    whole: float = statistics.median(measured["observe"]) + statistics.median(measured["decide"])
    return whole


def _row(jobs: int, slaves: str, way: str, measured: Mapping[str, Any], ours: Mapping[str, Any]) -> tuple[str, ...]:
    seen, decided = statistics.median(measured["observe"]), statistics.median(measured["decide"])
    spread = f"{min(measured['observe']):.3f}-{max(measured['observe']):.3f}"
    decided_s = f"{decided:.3f}" if decided else ""
    ratio = f"{_whole(measured) / _whole(ours):.1f}"
    nova = f"{statistics.median(measured['with_nova']):.3f}" if "with_nova" in measured else ""
    return f"{jobs:,}", slaves, way, f"{seen:.3f}", spread, decided_s, ratio, nova, f"{measured['rss_mb']:.0f}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = common.options("Time and memory of one tick, beside other ways to look at the queue.")
    for name in ("--way", "--slaves", "--rounds"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.way:
        measured = WAYS[options.way](int(options.slaves), int(options.rounds))
        print(json.dumps({**measured, "rss_mb": round(watch.peak(os.getpid()), 1)}))
        return
    small = ((1_000,), (10,), 1)
    rows, results = run(*(small if options.small else (JOBS, SLAVES, ROUNDS)))
    looking = ("looking, s", "spread", "deciding, s", "ratio", "with Nova, s", "memory, MiB")
    common.tell("One tick", ("idle jobs", "slaves", "way", *looking), rows)
    common.save(options.json, "decision", results)


if __name__ == "__main__":
    common.run(main)
