"""`python -m cli`: `ecm`, where nothing has installed it as a command."""

from cli.main import main

main()
