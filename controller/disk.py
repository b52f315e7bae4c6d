"""Files that tools and the next controller read: written whole or not at all, and never a reason to stop."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog

log = structlog.get_logger()


def replace_file(path: Path, content: bytes, *, lasting: bool) -> None:
    """Writes a file so that a reader finds the old or the new content and nothing between.

    Args:
        path: the file.
        content: of all of it.
        lasting: whether that holds for the next boot, too, which takes a disk a moment.

    Raises:
        OSError: the old content is still there.
    """
    draft = path.with_name(f"{path.name}.new")
    with draft.open("wb") as file:
        file.write(content)
        if lasting:
            file.flush()
            os.fsync(file.fileno())
    draft.replace(path)


@dataclass(slots=True)
class BestEffort:
    """Writes that may fail, as on a full disk: said when it begins and when it is over, not each time."""

    failing: set[str] = field(default_factory=set)

    def __call__(self, what: str, write: Callable[[], object]) -> None:
        """Tries to write; `what` names it in the log."""
        try:
            write()
        except OSError as error:
            if what not in self.failing:
                log.warning("can't be written, the controller goes on without", what=what, why=error.strerror)
                self.failing.add(what)
        else:
            if what in self.failing:
                log.info("is written again", what=what)
                self.failing.remove(what)
