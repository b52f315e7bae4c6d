"""A pool played with a clock of its own: what a policy costs, and how long jobs wait for it."""
