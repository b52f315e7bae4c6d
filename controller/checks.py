"""What is checked and said once: at the controller's start, and when the settings are new."""

from collections.abc import Callable
from functools import partial
from typing import Any

import structlog

from cluster.errors import EcmError
from cluster.report import Shared
from controller.errors import OutsideError
from controller.servers import Cloud
from controller.state import State

log = structlog.get_logger()


def outside(cloud: Cloud, state: State) -> None:
    """Whether the cloud takes the login and the stack's state can be read. The loop tries again by itself."""
    _check("cloud takes the login", cloud.log_in)
    _check("state can be read", state.read)


def settings(new: Shared, cloud: Cloud) -> None:
    """What the user set, and whether the cloud has what new slaves are made of."""
    log.info("settings", **_shortened(new.model_dump()))
    _check("image and flavor are there", partial(_lacks_nothing, new, cloud))


def _shortened(settings: dict[str, Any]) -> dict[str, Any]:
    """The same, of the user's own texts only how long they are: somebody may have written a secret into one."""
    texts = {name: f"{len(settings['slave'][name])} characters" for name in ("condor_config", "script")}
    return settings | {"slave": settings["slave"] | texts}


def _lacks_nothing(new: Shared, cloud: Cloud) -> None:
    if missing := cloud.missing(new.slave.image_id, new.slave.flavor):
        raise OutsideError(f"no slave can be made - {', '.join(missing)} - change the setting and run `pulumi up`")


def _check(what: str, check: Callable[[], object]) -> None:
    try:
        check()
    except (OutsideError, EcmError) as error:
        log.error("check failed", check=what, why=str(error))
    else:
        log.info("checked", check=what)
