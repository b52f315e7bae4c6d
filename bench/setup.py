"""How long `scripts/demo` takes, step by step: as on a new machine, and once more; with --test, the tests.

The first time is one with an empty cache of its own, which is removed in the end: it builds what it needs, for which it
takes about twenty minutes and a way to the package registries. The local cloud has to be down for it. With --again only
the second, with the cache that is there.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import common
from demo.user import ROOT

_PHASE = re.compile(r"^(?P<phase>\S.{21}) (?P<seconds>[ \d]{4}\d) s$")
"""In the columns of scripts/test: lines of progress end in seconds, too."""


def demo(cache: Path | None = None) -> dict[str, Any]:
    """Runs the demo; all its seconds, and those of its steps. What no step has is the set-up before them.

    Raises:
        CalledProcessError: it failed, and has said why.
    """
    environment = {**os.environ, **({"ECM_CACHE": str(cache), **_go(cache)} if cache else {})}
    with tempfile.TemporaryDirectory() as folder:
        times = Path(folder) / "times.json"
        began = time.monotonic()
        subprocess.run([ROOT / "scripts" / "demo", "--json", times], env=environment, check=True)
        seconds = time.monotonic() - began
        steps = json.loads(times.read_text())
    return {"seconds": round(seconds, 2), "steps": {"set-up": round(seconds - sum(steps.values()), 2), **steps}}


def _go(cache: Path) -> dict[str, str]:
    """Go's own caches, which are outside of this project's: what was compiled before would be taken from there."""
    return {
        "GOPATH": str(cache / "go"),
        "GOMODCACHE": str(cache / "go" / "modules"),
        "GOCACHE": str(cache / "go" / "built"),
        "GOFLAGS": "-modcacherw",  # or nobody but Go removes them
    }


def set_up() -> float:
    """What comes before the demo's first step, where nothing is missing."""
    began = time.monotonic()
    subprocess.run([ROOT / "scripts" / "setup"], check=True)
    return round(time.monotonic() - began, 2)


def phases(said: str) -> dict[str, float]:
    """The table that `scripts/test` ends with."""
    return {
        found["phase"].rstrip(): float(found["seconds"]) for line in said.splitlines() if (found := _PHASE.match(line))
    }


def test() -> dict[str, float]:
    """Runs the whole suite; its phases.

    Raises:
        CalledProcessError: it failed; what it said is shown.
    """
    done = subprocess.run([ROOT / "scripts" / "test"], stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.stderr.write(done.stderr)
        raise subprocess.CalledProcessError(done.returncode, "scripts/test")
    return phases(done.stderr)


def show(title: str, steps: Mapping[str, float]) -> None:
    common.tell(title, ("step", "s"), [(what, f"{seconds:.1f}") for what, seconds in steps.items()])


def told(which: str, measured: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers for the file, after they are shown."""
    show(f"scripts/demo, {which}", {**measured["steps"], "all of it": measured["seconds"]})
    return {f"demo_{which}_s": measured["seconds"], f"demo_{which}": measured["steps"]}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = common.options("Times of the demo and of the tests.")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--again", action="store_true", help="the demo with the cache that is there only")
    which.add_argument("--test", action="store_true", help="the tests, in place of the demo")
    options = parser.parse_args(arguments)
    if options.small:
        results: dict[str, Any] = {"set_up_s": set_up()}
        show("scripts/setup, nothing missing", {"set-up": results["set_up_s"]})
    elif options.test:
        steps = test()
        show("scripts/test", steps)
        results = {"test": steps}
    elif options.again:
        results = told("again", demo())
    else:
        with tempfile.TemporaryDirectory(prefix="ecm-first-", ignore_cleanup_errors=True) as cache:
            try:
                results = told("first", demo(Path(cache))) | told("again", demo(Path(cache)))
            finally:
                set_up()  # .venv names the cache that it was made with
    common.save(options.json, "setup", {**common.saved(options.json).get("setup", {}), **results})


if __name__ == "__main__":
    common.run(main)
