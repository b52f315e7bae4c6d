"""The same servers by plain calls of openstacksdk: what updates are measured beside.

In a process of their own, so that the memory of their many threads isn't taken for the controller's.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from typing import ParamSpec, TypeVar

import keystoneauth1.exceptions as auth_errors
import openstack
import openstack.exceptions as sdk_errors
from openstack.compute.v2.server import Server

from cluster.login import first_line
from cluster.report import SlaveTemplate
from controller.errors import OutsideError

P = ParamSpec("P")
T = TypeVar("T")
Times = tuple[float, float]
"""When the calls began, and when they ended, by this machine's clock."""
PATIENCE = 1800


def apart(act: Callable[P, T], *args: P.args, **more: P.kwargs) -> T:
    """Calls a function of this module in a new process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(act, *args, **more).result()


def grow(new: Mapping[str, str], template: SlaveTemplate, parallel: int) -> Times:
    """Makes servers, by name with their user-data, so many at once, until all are ACTIVE.

    Raises:
        OutsideError: the cloud refuses.
    """
    connection = openstack.connect()
    connection.authorize()

    def make(name: str) -> None:
        server = connection.compute.create_server(
            name=name,
            image_id=template.image_id,
            flavor_id=template.flavor.id,
            key_name=template.key_name,
            networks=[{"uuid": template.network_id}],
            security_groups=[{"name": template.security_group}],
            user_data=new[name],
        )
        connection.compute.wait_for_server(server, wait=PATIENCE)

    return _all(make, sorted(new), parallel)


def shrink(prefix: str, parallel: int) -> Times:
    """Deletes the servers whose names begin so, so many at once, until all are gone.

    Raises:
        OutsideError: the cloud refuses.
    """
    compute = openstack.connect().compute
    ids = [server.id for server in compute.servers(details=False, name=f"^{prefix}")]

    def remove(server_id: str) -> None:
        compute.delete_server(server_id)
        compute.wait_for_delete(Server.new(id=server_id), wait=PATIENCE)

    return _all(remove, ids, parallel)


def _all(act: Callable[[str], None], each: Sequence[str], parallel: int) -> Times:
    began = time.time()
    try:
        with ThreadPoolExecutor(parallel) as threads:
            list(threads.map(act, each))
    except (auth_errors.ClientException, sdk_errors.SDKException) as error:
        # Theirs don't all get from one process to another.
        raise OutsideError(f"plain calls failed - {first_line(error)}") from None
    return began, time.time()
