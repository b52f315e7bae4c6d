"""What `ecm` does on the user's machine only. The wheel that the master gets has none of it."""
