"""What `ecm` does on the master; from the user's machine the same, over ssh."""
