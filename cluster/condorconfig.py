"""Whether HTCondor can read a configuration of the user's: a slip in it keeps it from starting, on every node.

Only its form is looked at. Whether a setting exists, nobody can tell: HTCondor takes any name.
"""

import re
from collections.abc import Iterator

_SETTING = re.compile(r"[\w./$()]+(\s*=|\s*:|\s+\+=|\s+@=\s*(?P<end>\w+))", re.ASCII)
_WITH_COLON = re.compile(r"@?(use|include|warning|error)\b[^:]*:", re.IGNORECASE)
_SECTION = re.compile(r"\[[^\s=:]*")
"""As in Windows' .ini files, which HTCondor passes over."""


def problem(text: str) -> str:
    """What HTCondor would not read, and in which line; empty when nothing."""
    lines = enumerate(text.splitlines(), start=1)
    ifs: list[int] = []
    for number, statement in _statements(lines):
        where = f"line {number}, {statement!r},"
        word = statement.split()[0].lower()
        setting = _SETTING.match(statement)
        if word == "if":
            ifs.append(number)
        elif word in ("elif", "else", "endif"):
            if not ifs:
                return f"{where} has no if before it"
            if word == "endif":
                ifs.pop()
        elif not (setting or _WITH_COLON.match(statement) or _SECTION.fullmatch(statement)):
            return f"{where} is neither NAME = VALUE nor another word of HTCondor's"
        elif setting and setting["end"] and not any(line.strip() == f"@{setting['end']}" for _, line in lines):
            return f"{where} begins a text, and no line @{setting['end']} ends it"
    return f"line {ifs[-1]} has an if, and no endif comes after it" if ifs else ""


def _statements(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Each line that is no comment, with the number of its first line; a backslash at its end joins the next one."""
    for number, line in lines:
        whole = line.strip()
        if not whole or whole.startswith("#"):
            continue
        while whole.endswith("\\"):
            _, more = next(lines, (0, ""))
            whole = f"{whole[:-1]}{more.strip()}"
        if whole.strip():
            yield number, whole.strip()
