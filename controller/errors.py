"""What can go wrong outside, translated once by the adapter of each outside system."""


class OutsideError(Exception):
    """An outside system failed to answer or refused: one line, `what - why`. Nothing may be concluded from it."""


class LockedError(OutsideError):
    """The stack is locked by another update."""


class UpdateFailedError(OutsideError):
    """An update of the stack failed or was interrupted; the state has what it reached."""

    def __init__(self, message: str, *, creates: bool = True, deletes: bool = True) -> None:
        """Args: message: one line. creates, deletes: whether some of these failed; both, as far as is known."""
        super().__init__(message)
        self.creates, self.deletes = creates, deletes


_SYSTEMS = {"the schedd": "schedd", "the collector": "collector", "OpenStack": "OpenStack", "the stack": "state"}


def system(error: str) -> str:
    """The outside system that an error's line is about, by how it begins; `other` when it names none."""
    return next((name for start, name in _SYSTEMS.items() if error.startswith(start)), "other")
