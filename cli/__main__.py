"""What the command `ecm` runs, and `python -m cli` where nothing has installed it as a command."""

import sys


def main() -> None:
    """Loads the commands, which takes a moment, and runs the one that is asked for."""
    try:
        from cli import main as ecm  # noqa: PLC0415 - an interrupt while it loads is no traceback, either

        ecm.main()
    except KeyboardInterrupt:
        sys.exit(130)  # cli.show.INTERRUPTED, which may not be loaded yet


if __name__ == "__main__":
    main()
