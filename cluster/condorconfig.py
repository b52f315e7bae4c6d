"""Whether HTCondor can read a configuration of the user's: a slip in it keeps it from starting, on every node.

Only its form is looked at. Whether a setting exists, nobody can tell: HTCondor takes any name. Nor is it known here
which files there are on a node to be included.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_SETTING = re.compile(r"[\w./$()]+(\s*=|\s*:|\s+\+=|\s+@=\s*(?P<end>\w+))", re.ASCII)
_WITH_COLON = re.compile(r"@?(use|include|warning|error)\b[^:]*:", re.IGNORECASE)
_SECTION = re.compile(r"\[[^\s=:]*")
"""As in Windows' .ini files, which HTCondor passes over."""
_ERROR = re.compile(r"@?error(\s[^:=]*)?:", re.IGNORECASE)
_USE = re.compile(r"@?use\s+(?P<kind>[^:=$]+?)\s*:(?P<names>.*)", re.IGNORECASE)
_KINDS = ("ROLE", "FEATURE", "POLICY", "SECURITY")
_ROLES = ("CentralManager", "Execute", "Submit", "Personal")
"""Beside those of `get_htcondor`. What features and policies there are depends on HTCondor's version."""
_ROLE = re.compile(rf"({'|'.join(_ROLES)}|get_htcondor_\w+|.*\$.*)(\(.*)?", re.IGNORECASE)
_CONDITION = re.compile(
    r"!?\s*(true|false|yes|no|t|f|-?[\d.]+(e\d+)?|.*\$.*"
    r"|defined(\s+[\w./]+|\s+use\s+\S+)?|version\s+[<>=!]=?\s*\d+(\.\d+)+)",
    re.IGNORECASE | re.ASCII,
)


@dataclass(slots=True)
class _If:
    line: int
    has_else: bool = False


def problem(text: str) -> str:
    """What HTCondor would not read, and in which line; empty when nothing."""
    lines = enumerate(text.splitlines(), start=1)
    ifs: list[_If] = []
    for number, statement in _statements(lines):
        word = statement.split()[0].lower()
        if word in ("if", "elif", "else", "endif"):
            why = _of_branch(word, statement[len(word) :].strip(), number, ifs)
        else:
            why = _of_line(statement, lines) or ("" if ifs else _refused(statement))
        if why:
            return f"line {number}, {statement!r}, {why}"
    return f"line {ifs[-1].line} has an if, and no endif comes after it" if ifs else ""


def _of_branch(word: str, condition: str, line: int, ifs: list[_If]) -> str:
    if word == "if":
        ifs.append(_If(line))
        # Of a branch that isn't taken HTCondor looks at no condition, and which one that is isn't known here.
        if len(ifs) > 1 or _CONDITION.fullmatch(condition):
            return ""
        return "has no condition that HTCondor knows, as true, defined NAME and version >= 9.0 are"
    if not ifs:
        return "has no if before it"
    if word == "endif":
        ifs.pop()
    elif ifs[-1].has_else:
        return "comes after an else"
    else:
        ifs[-1].has_else = word == "else"
    return ""


def _of_line(statement: str, lines: Iterator[tuple[int, str]]) -> str:
    """What is wrong with a line's form; takes the lines of a text that it begins."""
    setting = _SETTING.match(statement)
    if not (setting or _WITH_COLON.match(statement) or _SECTION.fullmatch(statement)):
        return "is neither NAME = VALUE nor another word of HTCondor's"
    if setting and setting["end"] and not any(line.strip() == f"@{setting['end']}" for _, line in lines):
        return f"begins a text, and no line @{setting['end']} ends it"
    return ""


def _refused(statement: str) -> str:
    """Why HTCondor doesn't go on after a line of good form, if it comes to it."""
    if _ERROR.match(statement):
        return "is an error by itself"
    if not (use := _USE.match(statement)):
        return ""
    if use["kind"].upper() not in _KINDS:
        return f"names nothing that HTCondor has: {', '.join(_KINDS)}"
    roles = use["names"].replace(",", " ").split() if use["kind"].upper() == "ROLE" else []
    if not all(_ROLE.fullmatch(role) for role in roles):
        return f"names no role that HTCondor has: {', '.join(_ROLES)}"
    return ""


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
