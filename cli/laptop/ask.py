"""How `ecm` asks: a question, what there is to choose from by number, and what an empty answer means."""

from collections.abc import Sequence

import typer
from rich.cells import cell_len
from rich.table import Table

from cli.laptop.proposals import Choice, Question
from cli.show import out, say, table

SHOWN = 20
MISFITS = 6


def ask(question: Question) -> str:
    """The answer: a choice's value, or whatever was typed; empty leaves the setting unset."""
    say(f"\n{question.key}: {question.text}")
    for rows in (_choices(question.choices[:SHOWN]), _misfits(question.misfits[:MISFITS])):
        if rows.row_count:
            out.print(rows)
    if more := max(0, len(question.choices) - SHOWN) + max(0, len(question.misfits) - MISFITS):
        say(f"   and {more} more: `ecm {'flavors' if question.key.endswith('Flavor') else question.key + 's'}`")
    while True:
        hint = "its number, name or id" if question.choices else "a value"
        typed: str = typer.prompt(f"  {hint}", default=question.proposal, show_default=bool(question.proposal)).strip()
        answer = _chosen(typed, question)
        if not answer and question.required:
            say(f"  {question.key} has to be given")
        elif not answer or _taken(answer, question):
            return answer


def _choices(choices: Sequence[Choice]) -> Table:
    """The choices with their numbers, and with their ids where there is room for those."""
    rows = table("number", "", "", "", right=("number",))
    rows.show_header = False
    rows.columns[0].min_width = len(str(SHOWN))
    widths = [max(map(cell_len, texts)) for texts in zip(*((c.value, c.about, c.id) for c in choices), strict=True)]
    with_ids = len(str(SHOWN)) + sum(2 + width for width in widths) <= out.width
    for number, choice in enumerate(choices, start=1):
        rows.add_row(str(number), choice.value, choice.about, choice.id if with_ids else "")
    return rows


def _misfits(misfits: Sequence[Choice]) -> Table:
    rows = table("", "", "")
    rows.show_header = False
    for choice in misfits:
        rows.add_row(" ✗", choice.value, choice.about, style="dim")
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
