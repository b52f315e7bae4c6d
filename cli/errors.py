"""What can go wrong for who types a command, beside what the cluster's own modules raise."""

from cluster.errors import EcmError

DOCTOR = "`ecm doctor` looks why"
"""What to do where nothing better is known; the doctor itself doesn't say it."""


class CommandError(EcmError):
    """A program or a machine that a command relies on refuses, fails or is out of reach."""


class NotThereError(EcmError):
    """What the user names isn't there."""
