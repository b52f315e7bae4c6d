"""The command line, `ecm`."""
