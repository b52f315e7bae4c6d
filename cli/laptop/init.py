"""`ecm init`: from a cloud account to a stack that `pulumi up` takes."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote, urlsplit

import typer

from cli.checks import Check, disclosed, leave, view
from cli.errors import CommandError
from cli.laptop import ask, catalog, config, proposals
from cli.laptop.backend import KINDS, MASTER_URL, URL, Backend
from cli.laptop.desk import Desk, desk
from cli.laptop.ownstore import OwnStore
from cli.laptop.proposals import ASKED, There
from cli.show import SET_UP, AsJson, prose, report, say
from cluster import settings
from cluster.errors import CloudError, SettingsError
from cluster.login import chosen, clouds, translated
from controller.masking import MASK, masked

if TYPE_CHECKING:
    from openstack.connection import Connection

app = typer.Typer()


@app.command(rich_help_panel=SET_UP)
def init(  # noqa: PLR0913 - the flags of a wizard that also runs without questions
    context: typer.Context,
    stack: Annotated[str, typer.Argument(help="The cluster's name: a new Pulumi stack, or one to edit.")] = "",
    *,
    choices: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting; it isn't asked for then.")
    ] = None,
    backend: Annotated[str, typer.Option(help="Where the state lives: a URL, as PULUMI_BACKEND_URL.")] = "",
    make_key: Annotated[
        str, typer.Option(metavar="NAME", help="Make a keypair; the private key goes to ~/.ssh/NAME.pem.")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: take what is set, and the proposals.")] = False,
    as_json: AsJson = False,
) -> None:
    """Set up a cluster's settings: asks, with what your cloud has to choose from. Run again, it edits.

    Nothing is created in the cloud, but for what you say yes to: a keypair; a bucket for the state, with EC2
    credentials. --json asks nothing.

    Example: ecm init mycluster

    Example: ecm init mycluster --yes --set image="Debian 13" --set keyName=mykey --set maxSlaves=20
    """
    yes = yes or as_json
    here = desk(context)
    given = parsed(choices or [])
    if unknown := [line for line in settings.problems(prefixed(given)) if " is no setting" in line]:
        raise SettingsError(unknown[0].rpartition(" - ")[0])
    state = Backend.of_this_process(here.pulumi)
    connection = _log_in(here, state, yes=yes)
    name = _make_stack(here, state, connection, stack, backend, yes=yes)
    before = {key.removeprefix("ecm:"): value.text or "" for key, value in here.pulumi.config().items()}
    if "masterBackendUrl" not in {**before, **given} and MASTER_URL not in os.environ and not yes and not state.file:
        given["masterBackendUrl"] = _ask_master_url()
    key = make_key or ("" if yes or given.get("keyName") else _key_wanted(connection))
    if key:
        given["keyName"] = _make_key(connection, key)
    there = There(
        catalog.images(connection),
        catalog.flavors(connection),
        catalog.networks(connection),
        catalog.keys(connection),
        catalog.quota(connection),
    )
    answers = interview(there, before, given, yes=yes)
    changes = {k: v for k, v in answers.items() if v and v != before.get(k)}
    here.pulumi.set_config(changes, settings.secrets())
    for gone in [k for k, v in answers.items() if not v and before.get(k)]:
        here.pulumi.remove_config(gone)
    _say_exports(state)
    found = list(config.checks(here))
    if any(check.wrong for check in found):
        found.append(Check("next", f"ecm init {name} again, or pulumi config set, for what is wrong"))
    done = disclosed(found)
    told = {key: MASK if key in settings.secrets() else text for key, text in answers.items() if text}
    say(f"\nThe stack {name} has its settings. `pulumi up` would find:\n")
    report({"stack": name, "settings": told, "checks": done}, view(done), as_json=as_json)
    leave(done)
    say(f"\nNext:   pulumi up --stack {name}")


def parsed(choices: list[str]) -> dict[str, str]:
    """The `--set KEY=VALUE` options.

    Raises:
        SettingsError: one isn't of that form.
    """
    pairs = [choice.partition("=") for choice in choices]
    if wrong := [key for key, sign, _ in pairs if not sign]:
        raise SettingsError(f"--set {wrong[0]} is no setting - it has no value - write --set {wrong[0]}=VALUE")
    return {key.removeprefix("ecm:"): value for key, _, value in pairs}


def prefixed(given: Mapping[str, str]) -> dict[str, str]:
    return {f"ecm:{key}": value for key, value in given.items()}


def interview(there: There, before: Mapping[str, str], given: Mapping[str, str], *, yes: bool) -> dict[str, str]:
    """The answers, by key; empty for what is to be unset.

    Raises:
        SettingsError: a required one is neither given nor can be proposed, and nothing may be asked.
    """
    answers = {**before, **given}
    for key in ASKED:
        question = proposals.question(key, there, answers)
        if key in given or question is None:
            continue
        answers[key] = question.proposal if yes else ask.ask(question)
        if question.required and not answers[key]:
            raise SettingsError(f"ecm:{key} is not given - {settings.keys()[key].rstrip('.')} - add --set {key}=VALUE")
        if key not in before and answers[key] == proposals.default(key):
            del answers[key]
    return answers


def _log_in(here: Desk, state: Backend, *, yes: bool) -> "Connection":
    if not chosen():
        with translated():
            names = clouds()
        if len(names) > 1 and yes:
            raise CommandError(f"clouds.yaml has several clouds - {', '.join(names)} - export OS_CLOUD=NAME")
        state.export("OS_CLOUD", names[0] if len(names) == 1 else _pick_cloud(names))
    return here.connect()


def _pick_cloud(names: list[str]) -> str:
    say(f"Clouds in your clouds.yaml: {', '.join(names)}")
    while (name := typer.prompt("Which one", default=names[0])) not in names:
        say(f"There is no cloud {name}.")
    return str(name)


def _make_stack(  # noqa: PLR0913 - all that the user said
    here: Desk, state: Backend, connection: "Connection", stack: str, backend: str, *, yes: bool
) -> str:
    def no_questions(what: str) -> str:
        raise CommandError(f"{what} - and --yes asks nothing")

    own = OwnStore(connection, state)

    def ask_backend() -> str:
        if "." in stack:
            # Before anything is made for it. Where there is a backend, a stack may be there that has such a name.
            raise _dotted(stack)
        if url := own.offered():
            return url
        say(KINDS)
        return _with_password(str(typer.prompt("Where shall it be")))

    def ask_passphrase() -> str:
        prose("\nThe secrets in the state are encrypted with a passphrase. Keep it: nobody can restore it.")
        return str(typer.prompt("Passphrase", hide_input=True, confirmation_prompt=True))

    missing = "no backend for the state is chosen: set PULUMI_BACKEND_URL or --backend URL"
    where = state.settle(backend, (lambda: no_questions(missing)) if yes else ask_backend)
    missing = "the secrets have no passphrase: set PULUMI_CONFIG_PASSPHRASE"
    state.settle_passphrase((lambda: no_questions(missing)) if yes else ask_passphrase)
    there = here.pulumi.stacks()
    say(f"The state is in {masked(where)}.")
    say(f"Stacks there: {', '.join(there) or 'none yet'}.")
    name = stack or (there[0] if yes and len(there) == 1 else "")
    if not name:
        name = (
            no_questions("the cluster has no name: ecm init NAME") if yes else str(typer.prompt("The cluster's name"))
        )
    if "." in name and name not in there:
        raise _dotted(name)
    here.pulumi.make_stack(name)
    return name


def _dotted(name: str) -> SettingsError:
    return SettingsError(
        f"the name is {name!r} - slaves with a dot in their names can't join the pool - choose another"
    )


def _with_password(url: str) -> str:
    """The URL with a password that is typed unseen, where one may be wanted and it has none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    if parts.scheme != "postgres" or not parts.username or parts.password is not None:
        return url
    typed = str(typer.prompt("Its password; empty for none", default="", show_default=False, hide_input=True))
    if quote(typed, safe="") != typed:
        say(f"In {URL} it is written percent-encoded: %40 is an @.")
    user, _, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user}:{quote(typed, safe='')}@{host}").geturl() if typed else url


def _ask_master_url() -> str:
    prose(
        "\nThe master needs the state too, best with a login of its own to it (a URL as above, encrypted in the stack)."
    )
    return str(typer.prompt("The master's URL; empty for yours", default="", show_default=False, hide_input=True))


def _key_wanted(connection: "Connection") -> str:
    """The name of a keypair to make; empty when the user has one, or wants none."""
    if catalog.keys(connection):
        return ""
    if not typer.confirm("\nYou have no keypair in this cloud. Make one?", default=True):
        return ""
    return str(typer.prompt("Its name", default="ecm"))


def _make_key(connection: "Connection", name: str) -> str:
    file = Path.home() / ".ssh" / f"{name}.pem"
    if file.exists():
        raise CommandError(f"{file} is there already - a new key would replace it - choose another name")
    try:
        file.parent.mkdir(mode=0o700, exist_ok=True)
        # First: the cloud gives the private half once only.
        file.touch(mode=0o600)
    except OSError as error:
        raise CommandError(f"{file} can't be written - {error.strerror} - make the keypair where it can be") from None
    try:
        with translated():
            made = connection.compute.create_keypair(name=name)
    except CloudError:
        file.unlink()
        raise
    file.write_text(made.private_key)
    say(f"The keypair {name} is made; its private half is {file}.")
    return name


def _say_exports(state: Backend) -> None:
    own = {URL} if state.file else set()
    if state.exports or state.file:
        say("\nFor this and all later commands, in your shell (and its profile):\n")
    if state.file:
        say(f"   source {state.file}")
    for variable, value in state.exports.items():
        # What was typed here is known to who typed it, and a terminal's scrollback is no place for a secret.
        if variable not in own:
            say(f"   export {variable}='{value if variable == 'OS_CLOUD' else '…'}'")
