"""What `ecm` does on the user's machine only. The master gets none of it."""
