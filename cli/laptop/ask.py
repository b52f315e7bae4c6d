"""How `ecm` asks: a question, what there is to choose from by number, and what an empty answer means."""

import typer

from cli.laptop.proposals import Question, problem
from cli.show import out, say, table

SHOWN = 20


def ask(question: Question) -> str:
    """The answer: a choice's value, or whatever was typed; empty leaves the setting unset."""
    say(f"\n{question.key}: {question.text}")
    if question.choices:
        rows = table("", "", "", right=("",))
        rows.show_header = False
        for number, choice in enumerate(question.choices[:SHOWN], start=1):
            rows.add_row(str(number), choice.value, choice.about)
        out.print(rows)
        if len(question.choices) > SHOWN:
            say(f"   and {len(question.choices) - SHOWN} more: `ecm images`, `ecm flavors`")
    while True:
        hint = "its number, name or id" if question.choices else "a value"
        typed: str = typer.prompt(f"  {hint}", default=question.proposal, show_default=bool(question.proposal)).strip()
        answer = _chosen(typed, question)
        if not answer and question.required:
            say(f"  {question.key} has to be given")
        elif not answer or _taken(answer, question):
            return answer


def _taken(answer: str, question: Question) -> bool:
    """Whether an answer can be one; says why when not."""
    if wrong := problem(question.key, answer):
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
