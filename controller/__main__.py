"""`python -m controller`: what systemd runs on the master as the user `ecm`."""

import logging
import os
import signal
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import structlog

from controller.apply import Tools
from controller.errors import OutsideError
from controller.loop import Loop
from controller.observe import Memory
from controller.servers import Cloud
from controller.state import State

RUN = Path("/run/ecm")
WORK = Path("/var/lib/ecm/work")


def main() -> int:
    """Runs the controller until SIGTERM or SIGINT; a running update ends first."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    log = structlog.get_logger()
    stack = os.environ["ECM_STACK"]
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    log.info("controller starts", stack=stack, backend=os.environ["PULUMI_BACKEND_URL"].split("@")[-1])
    try:
        tools = Tools(
            cloud=Cloud(),
            state=State(stack, WORK),
            key_file=RUN / "pool-key",
            prefix=f"ecm-{stack.split('/')[-1]}-slave-",
            clock=_now,
        )
    except OutsideError as error:
        log.error("controller can't start", why=str(error))
        return 1
    Loop(tools, Memory(_now()), RUN / "status.json", stop, _now).run()
    log.info("controller ends")
    return 0


def _now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    sys.exit(main())
