"""How `ecm` asks: a question, what there is to choose from by number, and what an empty answer means."""

from collections.abc import Iterator, Sequence

import typer
from rich.cells import cell_len, set_cell_size
from rich.table import Table

from cli.laptop.proposals import Choice, Question
from cli.show import out, prose, say, table

LISTS = {
    "image": "images",
    **dict.fromkeys(("masterFlavor", "slaveFlavor"), "flavors"),
    "keyName": "keys",
    **dict.fromkeys(("network", "floatingNetwork"), "networks"),
}
"""The command that lists all of what a setting is chosen from."""
SHOWN = 20
MISFITS = 6


def ask(question: Question) -> str:
    """The answer: a choice's value, or whatever was typed; empty leaves the setting unset."""
    say(f"\n{question.key}: {question.text}")
    if question.note:
        prose(question.note)
    for row in _choices(question.choices[:SHOWN]):
        say(row)
    if question.misfits:
        out.print(_misfits(question.misfits[:MISFITS]))
    if more := max(0, len(question.choices) - SHOWN) + max(0, len(question.misfits) - MISFITS):
        say(f"   and {more} more: `ecm {LISTS[question.key]}`")
    hint = "its number, name or id" if question.choices else "a value"
    if not question.proposal and not question.required:
        hint += " [unset]"
    while True:
        typed: str = typer.prompt(f"  {hint}", default=question.proposal, show_default=bool(question.proposal)).strip()
        answer = _chosen(typed, question)
        if not answer and question.required:
            say(f"  {question.key} has to be given")
        elif not answer or _taken(answer, question):
            return answer


def _choices(choices: Sequence[Choice]) -> Iterator[str]:
    """The choices with their numbers, in columns. A name too long for them has its id below, if it needs one."""
    about = max((cell_len(choice.about) for choice in choices), default=0)
    id_ = max((cell_len(choice.id) for choice in choices), default=0)
    room = out.width - len(f"{SHOWN}  ") - len("  ") - about - len("  ") - id_
    width = max((cell_len(_shown(choice)) for choice in choices if cell_len(_shown(choice)) <= room), default=0)
    for number, choice in enumerate(choices, start=1):
        name = _shown(choice)
        if cell_len(name) <= width:
            columns = (set_cell_size(name, width), set_cell_size(choice.about, about), choice.id)
            yield f"{number:>2}  {'  '.join(columns)}".rstrip()
            continue
        row, below = f"{number:>2}  {name}  {choice.about}", choice.id if choice.name else ""
        if cell_len(row) > out.width:
            row, below = f"{number:>2}  {name}", f"{choice.about}  {below}"
        yield row
        if below:
            yield f"    {below}".rstrip()


def _shown(choice: Choice) -> str:
    return choice.name or choice.value


def _misfits(misfits: Sequence[Choice]) -> Table:
    rows = table("", "", "")
    rows.show_header = False
    for choice in misfits:
        rows.add_row(" ✗", _shown(choice), choice.about, style="dim")
    return rows


def _taken(answer: str, question: Question) -> bool:
    """Whether an answer can be one; says why when not."""
    if wrong := question.check(answer):
        say(f"  {answer}: {wrong}")
        return False
    if not question.known or answer in question.known:
        return True
    if question.key == "image":
        # One that another project shares is in no list, and yet can be had by its id.
        return typer.confirm(f"  {answer} is no image that is listed. Take it all the same?", default=False)
    say(f"  {answer} isn't there")
    return False


def _chosen(typed: str, question: Question) -> str:
    if typed == "-":
        return ""
    if question.choices and typed.isdecimal() and 1 <= int(typed) <= len(question.choices):
        return question.choices[int(typed) - 1].value
    return typed
