"""The command `ecm`: on the user's machine, and on the master."""
