"""Commands of the master, and how they get there from elsewhere."""

import sys
from typing import Any, Protocol, runtime_checkable

import typer
from typer.core import TyperCommand

TO_SLAVES = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR")
"""Of ssh: slaves come and go at the same addresses, so that their host keys say nothing."""


@runtime_checkable
class Elsewhere(Protocol):
    """A place that isn't the master, and reaches it."""

    def forward(self, arguments: list[str], *, terminal: bool) -> int:
        """Runs `ecm ARGUMENTS…` on the master, in this terminal; gives its exit status."""

    def wait_for_master(self) -> None:
        """Waits until the controller says something, and tells meanwhile what is missing."""


class OnMaster(TyperCommand):
    """A command of the master. Elsewhere its arguments are checked here, and it is run there."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - typer keeps the type to itself
        ctx.meta[__name__] = [str(ctx.info_name), *args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - the same
        if isinstance(ctx.obj, Elsewhere):
            if ctx.params.get("watch"):
                # Who watches from the first `pulumi up` on sees the master come up, too.
                ctx.obj.wait_for_master()
            raise typer.Exit(ctx.obj.forward(ctx.meta[__name__], terminal=sys.stdout.isatty()))
        return super().invoke(ctx)
