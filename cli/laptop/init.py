"""`ecm init`: from a cloud account to a stack that `pulumi up` takes."""

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote, urlsplit

import typer

from cli.checks import Check, disclosed, leave, view
from cli.errors import CommandError
from cli.laptop import ask, catalog, config, ecmconf, proposals
from cli.laptop.backend import KINDS, MASTER_URL, TOKEN, URL, Backend
from cli.laptop.desk import Desk, desk
from cli.laptop.ownstore import OwnStore
from cli.laptop.proposals import ASKED, Question, There
from cli.laptop.ssh import private_half
from cli.show import SET_UP, AsJson, prose, report, say
from cluster import settings
from cluster.backend import CLOUD
from cluster.errors import CloudError, EcmError, SettingsError
from cluster.login import chosen, clouds, translated
from controller.masking import MASK, masked

if TYPE_CHECKING:
    from openstack.connection import Connection

app = typer.Typer()

NO_KEY = "you have none in this cloud"
KEY_TO_DO = "openstack keypair create --public-key ~/.ssh/id_ed25519.pub NAME"
_KEY_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@ -]*")


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
    old: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", exists=True, dir_okay=False, help="An ecm.conf to take settings from."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: take what is set, and the proposals.")] = False,
    as_json: AsJson = False,
) -> None:
    """Set up a cluster's settings: asks, with what your cloud has to choose from. Run again, it edits.

    Nothing is created in the cloud, but for what you say yes to: a keypair; a bucket for the state, with EC2
    credentials. --json asks nothing.

    Example: ecm init mycluster

    Example: ecm init mycluster --from ecm.conf

    Example: ecm init mycluster --yes --set image="Debian 13" --set keyName=mykey --set maxSlaves=20
    """
    yes = yes or as_json
    here = desk(context)
    given = parsed(choices or [])
    if old:
        given = {**_imported(old), **given}
    if make_key:
        _check_key_name(make_key)
    state = Backend.of_this_process(here.pulumi)
    made: list[str] = []
    try:
        connection = _log_in(here, state, yes=yes)
        name = _make_stack(here, state, connection, stack, backend, yes=yes)
        made.append(f"the stack {name}")
        if file := state.keep(name):
            made.append(f"{file}, to be sourced")
        before = {key.removeprefix("ecm:"): value.text or "" for key, value in here.pulumi.config().items()}
        if not yes and _asks_for_masters_url(state, {**before, **given}):
            given["masterBackendUrl"] = _ask_master_url(state)
        if key := _make_key(connection, make_key) if make_key else _new_key(connection, given, yes=yes):
            given["keyName"] = key
            made.append(f"the keypair {key}")
        answers = interview(_there(connection), before, given, yes=yes)
    except (typer.Abort, KeyboardInterrupt, EcmError):
        say(f"\n\nNo setting was written{'; what stays: ' + ', '.join(made) if made else ', nothing was made'}.")
        raise
    changes = {k: v for k, v in answers.items() if v and v != before.get(k)}
    here.pulumi.set_config(changes, settings.secrets())
    for gone in [k for k, v in answers.items() if not v and before.get(k)]:
        here.pulumi.remove_config(gone)
    _say_exports(state, file)
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
    """The `--set KEY=VALUE` options; an empty value unsets.

    Raises:
        SettingsError: one isn't of that form, is a secret, or can't be.
    """
    pairs = [choice.partition("=") for choice in choices]
    if wrong := [key for key, sign, _ in pairs if not sign]:
        raise SettingsError(f"--set {wrong[0]} is no setting - it has no value - write --set {wrong[0]}=VALUE")
    given = {key.removeprefix("ecm:"): value for key, _, value in pairs}
    for key in sorted(given.keys() & settings.secrets()):
        instead = f"export {MASTER_URL}=…" if key == "masterBackendUrl" else f"pulumi config set --secret ecm:{key}"
        raise SettingsError(f"--set {key}=… is no place for a secret - everybody on this machine sees it - {instead}")
    known = settings.keys()
    for key, value in given.items():
        # Each for itself: what it goes with may be asked for.
        lines = settings.problems(prefixed({key: value})) if value or key not in known else ()
        if wrong := [line for line in lines if " is not set - " not in line]:
            # What `pulumi config` would do about it isn't meant.
            raise SettingsError(wrong[0].partition(" - pulumi config ")[0])
    return given


def _imported(file: Path) -> dict[str, str]:
    found = ecmconf.read(file)
    for remark in found.remarks:
        say(remark)
    return dict(found.settings)


def prefixed(given: Mapping[str, str]) -> dict[str, str]:
    return {f"ecm:{key}": value for key, value in given.items()}


def interview(there: There, before: Mapping[str, str], given: Mapping[str, str], *, yes: bool) -> dict[str, str]:
    """The answers, by key; empty for what is to be unset.

    Raises:
        SettingsError: a required one is neither given nor can be proposed, and nothing may be asked; one that is given
            doesn't go with the others.
    """
    answers = {**before, **given}
    is_set_up = before.keys() >= proposals.REQUIRED
    if not yes:
        prose("\nEnter takes what is in [brackets]; a - leaves a setting unset.")
    for key in ASKED:
        # The flavor that goes with it is asked for next.
        later = {"slaveFlavor"} - given.keys() if key == "jobsPerSlave" else set()
        question = proposals.question(key, there, {k: v for k, v in answers.items() if k not in later})
        if key in given or question is None:
            continue
        if is_set_up and key not in before and not question.required:
            # It was left unset by who set this up.
            question = replace(question, proposal=proposals.default(key))
        if question.required and not question.proposal and (yes or _has_none(question)):
            raise _lacking(question)
        answers[key] = question.proposal if yes else ask.ask(question)
        if key not in before and answers[key] == proposals.default(key):
            del answers[key]
    wrong = settings.problems(prefixed({key: text for key, text in answers.items() if text}))
    if ours := [line for line in wrong if any(re.search(rf"\b{key}\b", line) for key in given)]:
        raise SettingsError(ours[0])
    return answers


def _has_none(question: Question) -> bool:
    """Whether the cloud has nothing to answer with. An image of others may be had all the same, by its id."""
    return question.key in ("masterFlavor", "slaveFlavor", "keyName") and not question.known


def _lacking(question: Question) -> SettingsError:
    """Why there is no answer where there has to be one."""
    key, things = question.key, ask.LISTS.get(question.key, "")
    if key == "keyName" and not question.known:
        return SettingsError(f"there is no keypair for ecm:keyName - {NO_KEY} - {KEY_TO_DO}, or add --make-key NAME")
    if things and not question.known:
        return SettingsError(
            f"there is nothing for ecm:{key} - the project has no {things} - check OS_CLOUD, or ask its operators"
        )
    why = settings.keys()[key].rstrip(".")
    if question.misfits:
        first = question.misfits[0]
        why = f"of the project's {things} none serves as it is; {first.name or first.value}: {first.about}"
    return SettingsError(f"ecm:{key} is not given - {why} - add --set {key}=VALUE")


def _there(connection: "Connection") -> There:
    return There(
        catalog.images(connection),
        catalog.flavors(connection),
        catalog.networks(connection),
        catalog.keys(connection),
        catalog.quota(connection),
    )


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
    kinds = iter([KINDS])

    def ask_backend() -> str:
        if "." in stack:
            # Before anything is made for it. Where there is a backend, a stack may be there that has such a name.
            raise _dotted(stack)
        if url := own.offered():
            return url
        for told in kinds:
            say(told)
        return _with_login(str(typer.prompt("Where shall it be")), state)

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
        only = there[0] if len(there) == 1 else None
        name = (
            no_questions("the cluster has no name: ecm init NAME")
            if yes
            else str(typer.prompt("The cluster's name", default=only))
        )
    if "." in name and name not in there:
        raise _dotted(name)
    here.pulumi.make_stack(name)
    return name


def _dotted(name: str) -> SettingsError:
    return SettingsError(
        f"the name is {name!r} - slaves with a dot in their names can't join the pool - choose another"
    )


def _with_login(url: str, state: Backend) -> str:
    """The URL with a password that is typed unseen, where one may be wanted and it has none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    if parts.scheme == CLOUD and not state.environment.get(TOKEN):
        say("Its access token: app.pulumi.com → Personal access tokens.")
        if token := str(
            typer.prompt("Token; empty after `pulumi login`", default="", show_default=False, hide_input=True)
        ):
            state.export(TOKEN, token)
    if parts.scheme != "postgres" or not parts.username or parts.password is not None:
        return url
    typed = str(typer.prompt("Its password; empty for none", default="", show_default=False, hide_input=True))
    if quote(typed, safe="") != typed:
        say(f"In {URL} it is written percent-encoded: %40 is an @.")
    user, _, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user}:{quote(typed, safe='')}@{host}").geturl() if typed else url


def _asks_for_masters_url(state: Backend, answers: Mapping[str, str]) -> bool:
    """Whether the master may want another URL. With a store of the cloud's own, and Pulumi Cloud, it has the same."""
    same = state.file or state.environment.get(URL, "").startswith(f"{CLOUD}:")
    return "masterBackendUrl" not in answers and MASTER_URL not in os.environ and not same


def _ask_master_url(state: Backend) -> str:
    prose(
        "\nThe master needs the state too, best with a login of its own to it (a URL as above, with its password; "
        "encrypted in the stack)."
    )
    while url := str(
        typer.prompt("The master's URL; empty for yours", default="", show_default=False, hide_input=True)
    ):
        try:
            state.tried(url)
        except CommandError as error:
            say(f"  {masked(str(error))}")
            if not typer.confirm("  From the cloud it may answer. Take it all the same?", default=False):
                continue
        return url
    return ""


def _new_key(connection: "Connection", given: Mapping[str, str], *, yes: bool) -> str:
    """The name of a keypair that is made or uploaded after a yes; empty when the user has one, or nothing may be asked.

    Raises:
        CommandError: there is none, and none is to be made.
    """
    if yes or given.get("keyName") or catalog.keys(connection):
        return ""
    say("\nYou have no keypair in this cloud, by which one logs in to the cluster.")
    for file in sorted((Path.home() / ".ssh").glob("id_*.pub")):
        if typer.confirm(f"Upload {file}?", default=True):
            name = _ask_key_name()
            with translated():
                connection.compute.create_keypair(name=name, public_key=file.read_text())
            return name
    if typer.confirm("Make one? Its private key goes to ~/.ssh/NAME.pem.", default=True):
        return _make_key(connection, _ask_key_name())
    raise CommandError(f"a cluster needs a keypair - {NO_KEY} - {KEY_TO_DO}, then ecm init again")


def _ask_key_name() -> str:
    while True:
        name = str(typer.prompt("Its name", default="ecm"))
        try:
            _check_key_name(name)
        except SettingsError as error:
            say(f"  {error}")
        else:
            return name


def _check_key_name(name: str) -> None:
    if not _KEY_NAME.fullmatch(name):
        raise SettingsError(f"the keypair's name is {name!r} - it names a file, too - take letters, digits, - and _")


def _make_key(connection: "Connection", name: str) -> str:
    file = private_half(name)
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


def _say_exports(state: Backend, file: Path | None) -> None:
    files = [kept for kept in (state.file, file) if kept]
    lines = [f"source {kept}" for kept in files]
    if not file and "OS_CLOUD" in state.exports:
        lines.append(f"export OS_CLOUD='{state.exports['OS_CLOUD']}'")
    if lines:
        say("\nFor this and all later commands, in your shell (and its profile):\n")
    for line in lines:
        say(f"   {line}")
    if file:
        prose("\nOnly you can read that file, which has your secrets. Keep the passphrase elsewhere, too.")
