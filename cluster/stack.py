"""What the stack's own state holds, read inside an update: under the lock, so that nobody changes it meanwhile."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi.runtime import invoke

from cluster.nodes import MASTER, SLAVE_TYPE


@dataclass(frozen=True, slots=True)
class Remembered:
    """The slaves in the state and the outputs that the last update left."""

    slaves: tuple[str, ...]
    outputs: Mapping[str, Any]


def remembered() -> Remembered:
    """Reads the stack's own resources.

    They are the truth about slaves; the outputs are written last, and are stale after an update that was killed.
    """
    name = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    answer = invoke("pulumi:pulumi:readStackResourceOutputs", {"stackName": name}).value
    return parse(answer["outputs"])


def parse(resources: Mapping[str, Any]) -> Remembered:
    """Takes the slaves and the stack's outputs out of a map of URN to a resource's outputs.

    A URN ends in `::<type of the parents>$<type>::<name>`.
    """
    slaves: list[str] = []
    outputs: Mapping[str, Any] = {}
    for urn, of_resource in resources.items():
        kind, name = urn.split("::")[2].rsplit("$", 1)[-1], urn.split("::", 3)[3]
        if kind == SLAVE_TYPE and name != MASTER:
            slaves.append(name)
        elif kind == "pulumi:pulumi:Stack":
            outputs = of_resource.get("outputs", of_resource)
    return Remembered(tuple(sorted(slaves)), outputs)
