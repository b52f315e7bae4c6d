"""The adapter runs the `pulumi` on PATH: here a script that answers as told, and writes down how it was called."""

from pathlib import Path

import pytest

from cli.errors import CommandError
from cli.laptop.pulumi import Pulumi, Value


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose file `answer` is what `pulumi` does, and whose `calls` say how it was called."""
    script = tmp_path / "pulumi"
    script.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/calls\n. {tmp_path}/answer\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path


def test_the_stack_is_named_to_every_command_of_it(folder: Path) -> None:
    (folder / "answer").write_text("""echo '{"masterIp": "198.51.100.7"}'""")
    assert Pulumi("mine", folder).outputs() == {"masterIp": "198.51.100.7"}
    assert (folder / "calls").read_text() == "stack output --json --stack mine --non-interactive --color never\n"


def test_an_error_is_pulumis_own_line(folder: Path) -> None:
    (folder / "answer").write_text('echo "error: no stack named mine found" >&2; echo "more"; exit 255')
    with pytest.raises(CommandError, match=r"^pulumi stack failed - no stack named mine found"):
        Pulumi("mine", folder).outputs()


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            "PULUMI_ACCESS_TOKEN must be set for login during non-interactive CLI sessions",
            "this shell doesn't know where the state is - PULUMI_BACKEND_URL isn't set - export it; ",
        ),
        (
            "S3: GetObject, get credentials: no EC2 IMDS role found",
            "pulumi stack failed - S3: GetObject, get credentials: no EC2 IMDS role found - export AWS_ACCESS_KEY_ID=",
        ),
        (
            "no stack selected; please use `pulumi stack select` to choose one",
            "no cluster is chosen - no stack is selected here - ecm --stack NAME …; `ecm init NAME` makes one",
        ),
        (
            "no stack named 'mine' found",
            "pulumi stack failed - no stack named 'mine' found - `pulumi stack ls` lists those that there are",
        ),
        ("incorrect passphrase", "pulumi stack failed - incorrect passphrase - export PULUMI_CONFIG_PASSPHRASE=…"),
        (
            "unable to open state database: SSL is not enabled on the server",
            "pulumi stack failed - unable to open state database: SSL is not enabled on the server - ?sslmode=disable",
        ),
        (
            "unable to open state database: no route",
            "pulumi stack failed - unable to open state database: no route - is it up, and does PULUMI_BACKEND_URL ",
        ),
    ],
)
def test_what_a_newcomer_meets_says_what_to_do(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: str, says: str
) -> None:
    monkeypatch.delenv("PULUMI_BACKEND_URL", raising=False)
    (folder / "error").write_text(f"error: {error}\n")
    (folder / "answer").write_text(f"cat {folder}/error >&2; exit 255")
    with pytest.raises(CommandError) as raised:
        Pulumi("mine", folder).outputs()
    assert str(raised.value).startswith(says)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (
            "foo://x",
            "PULUMI_BACKEND_URL is 'foo://x', which is no place for the state - it begins with none of postgres",
        ),
        (
            "https://api.pulumi.com",
            "for login - export PULUMI_ACCESS_TOKEN=…, which app.pulumi.com makes: Personal acc",
        ),
    ],
)
def test_a_token_is_asked_for_only_where_it_helps(
    folder: Path, monkeypatch: pytest.MonkeyPatch, url: str, says: str
) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", url)
    (folder / "answer").write_text('echo "error: PULUMI_ACCESS_TOKEN must be set for login" >&2; exit 255')
    with pytest.raises(CommandError) as raised:
        Pulumi("mine", folder).outputs()
    assert says in str(raised.value)


def test_secrets_are_left_closed_where_the_passphrase_is_missing(folder: Path) -> None:
    (folder / "answer").write_text(
        'case "$*" in *--show-secrets*) exit 255;; esac\n'
        """echo '{"ecm:image": {"value": "d", "secret": false}, "ecm:x": {"secret": true}}'"""
    )
    assert Pulumi("mine", folder).config() == {"ecm:image": Value("d"), "ecm:x": Value(None, secret=True)}


def test_a_secret_is_passed_by_standard_input(folder: Path) -> None:
    (folder / "answer").write_text(f"cat >>{folder}/stdin")
    Pulumi("mine", folder).set_config({"masterBackendUrl": "postgres://u:hidden@db"}, frozenset({"masterBackendUrl"}))
    assert "hidden" not in (folder / "calls").read_text()
    assert "config set --secret ecm:masterBackendUrl" in (folder / "calls").read_text()
    assert (folder / "stdin").read_text() == "postgres://u:hidden@db"


def test_without_pulumi_the_user_is_told_where_it_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CommandError, match=r"there is no `pulumi` on PATH.*source \.venv/bin/activate"):
        Pulumi("mine", tmp_path).outputs()
