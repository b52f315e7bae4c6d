"""What was decided, on what, and what came of it: one line of JSON each, enough to decide it again.

`replay` runs today's rule on yesterday's snapshots. Fields that the values gain later have defaults, so that old
journals stay readable; a line that was cut off by a crash or a full disk is skipped, and counted.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from controller.decide import decide
from controller.model import Limits, Plan, Seconds, Snapshot

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Decision:
    """All that `decide` was given, and its plan."""

    at: datetime
    seen: Snapshot
    limits: Limits
    plan: Plan
    controller: str
    """Version of the controller."""
    kind: Literal["decision"] = "decision"


@dataclass(frozen=True, slots=True)
class Ended:
    """What came of the plan that was decided at `decided_at`."""

    decided_at: datetime
    at: datetime
    seconds: Seconds
    outcome: Mapping[str, Any]
    kind: Literal["ended"] = "ended"


Entry = Annotated[Decision | Ended, Field(discriminator="kind")]
_ENTRY: TypeAdapter[Decision | Ended] = TypeAdapter(Entry)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A line that is no entry, or none that this version understands."""

    file: Path
    line: int
    why: str


@dataclass(frozen=True, slots=True)
class Journal:
    """The files of one controller: `journal.0.jsonl` is written to, the highest number is the oldest."""

    folder: Path
    files: int = 8
    file_bytes: int = 4 * MIB
    """A file ends with the entry that would make it larger."""

    def add(self, entry: Decision | Ended) -> None:
        """Appends one line.

        Raises:
            OSError: it isn't there, or only a part of it.
        """
        line = _ENTRY.dump_json(entry) + b"\n"
        self.folder.mkdir(parents=True, exist_ok=True)
        current = self._file(0)
        if current.exists() and current.stat().st_size + len(line) > self.file_bytes:
            for number in range(self.files - 2, -1, -1):
                if self._file(number).exists():
                    self._file(number).replace(self._file(number + 1))
        with current.open("ab+") as file:
            if file.tell():
                file.seek(-1, 1)
                if file.read(1) != b"\n":
                    line = b"\n" + line  # what a crash cut off stays a line of its own
            file.write(line)

    def _file(self, number: int) -> Path:
        return self.folder / f"journal.{number}.jsonl"


def read(path: Path) -> Iterator[Decision | Ended | Unreadable]:
    """The entries of a file or of a folder of them, oldest first.

    Raises:
        OSError: a file can't be read.
    """
    for file in _oldest_first(path) if path.is_dir() else [path]:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    yield _ENTRY.validate_json(line)
                except ValidationError as error:
                    first = error.errors(include_url=False, include_input=False)[0]
                    yield Unreadable(file, number, str(first["msg"]))


@dataclass(frozen=True, slots=True)
class Difference:
    """A recorded plan, and what the rule makes of the same snapshot now."""

    decision: Decision
    now: Plan


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of deciding a whole journal again."""

    decisions: int
    differences: tuple[Difference, ...]
    unreadable: tuple[Unreadable, ...]


def replay(path: Path) -> Replay:
    """Decides everything in a journal again, and compares. Changes nothing.

    Raises:
        OSError: a file can't be read.
    """
    decisions, differences, unreadable = 0, [], []
    for entry in read(path):
        match entry:
            case Unreadable():
                unreadable.append(entry)
            case Decision(at=at, seen=seen, limits=limits, plan=plan):
                decisions += 1
                if (again := decide(seen, limits, at)) != plan:
                    differences.append(Difference(entry, again))
    return Replay(decisions, tuple(differences), tuple(unreadable))


def _oldest_first(folder: Path) -> list[Path]:
    # Beside ours there may be a copy that somebody made.
    ours = [file for file in folder.glob("journal.*.jsonl") if file.name.split(".")[1].isdecimal()]
    return sorted(ours, key=lambda file: -int(file.name.split(".")[1]))
