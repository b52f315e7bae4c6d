"""The commands on the master."""

import typer


def attach(app: typer.Typer) -> None:
    """Adds them to `ecm`."""
