"""What runs on a node at its first boot."""
