"""What the stack's own state holds, read inside an update: under the lock, so that nobody changes it meanwhile."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi.runtime import invoke

from cluster.errors import SettingsError
from cluster.nodes import MASTER, POWER_STATE, SLAVE_TYPE


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is in the state, and the outputs that the last update left."""

    resources: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    """The outputs of each resource, by its type and name."""
    outputs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def slaves(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(sorted(name for kind, name in self.resources if kind == SLAVE_TYPE and name != MASTER))

    def power_state(self, slave: str) -> str:
        """Of a slave's server, as it was when the state noted it."""
        return str(self.resources[SLAVE_TYPE, slave].get("powerState") or POWER_STATE)


def name() -> str:
    """The stack's full name: `organization/project/stack`."""
    return f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"


def prefix(stack: str) -> str:
    """How the names of everything begin that the stack makes in the cloud.

    Raises:
        SettingsError: slaves with such a name can't join the pool.
    """
    if "." in stack:
        # HTCondor takes a machine's name for what is before the first one; the tokens' names have the whole.
        raise SettingsError(
            f"the stack is named {stack!r} - a slave with a dot in its name can't join the pool - "
            f"pulumi stack rename {stack.replace('.', '-')}"
        )
    return f"ecm-{stack}"


def slave_urn(full_name: str, slave: str) -> str:
    """A slave's name in the state of the stack `organization/project/stack`."""
    _, project, short = full_name.split("/")
    return f"urn:pulumi:{short}::{project}::{SLAVE_TYPE}::{slave}"


def remembered() -> Remembered:
    """Reads the stack's own resources.

    They are the truth about slaves; the outputs are written last, and are stale after an update that was killed.
    """
    answer = invoke("pulumi:pulumi:readStackResourceOutputs", {"stackName": name()}).value
    return parse(answer["outputs"])


def last_outputs() -> Mapping[str, Any]:
    """The outputs that the last update left: with many slaves a small part of what `remembered` hands over.

    A secret that can't be decrypted is something else than it was there, where `remembered` would fail.
    """
    outputs: Mapping[str, Any] = invoke("pulumi:pulumi:readStackOutputs", {"name": name()}).value["outputs"]
    return outputs


def exported(state: Mapping[str, Any]) -> Remembered:
    """The same out of what `pulumi stack export` prints, outside of any update."""
    resources = (state.get("deployment") or {}).get("resources") or ()
    # What is to be deleted after its replacement has the same URN.
    return parse({r["urn"]: {"outputs": r.get("outputs") or {}} for r in resources if not r.get("delete")})


def parse(resources: Mapping[str, Any]) -> Remembered:
    """Sorts a map of URN to a resource's type and outputs.

    A URN ends in `::<type of the parents>$<type>::<name>`.
    """
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    outputs: Mapping[str, Any] = {}
    for urn, of_resource in resources.items():
        kind, name = urn.split("::")[2].rsplit("$", 1)[-1], urn.split("::", 3)[3]
        said = of_resource.get("outputs", of_resource)
        if kind == "pulumi:pulumi:Stack":
            outputs = said
        else:
            found[kind, name] = said
    return Remembered(found, outputs)
