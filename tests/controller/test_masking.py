"""No secret gets out, and what isn't one can be read."""

import pytest

from controller.masking import configuration, masked


@pytest.mark.parametrize(
    "key",
    [
        "PULUMI_CONFIG_PASSPHRASE",
        "PULUMI_ACCESS_TOKEN",
        "OS_APPLICATION_CREDENTIAL_SECRET",
        "OS_PASSWORD",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AZURE_STORAGE_KEY",
        "AZURE_STORAGE_CONNECTION_STRING",
        "GOOGLE_CREDENTIALS",
        "PGPASSWORD",
    ],
)
def test_a_key_that_names_a_secret_shows_nothing_of_it(key: str) -> None:
    assert configuration({key: "hunter2"}) == {key: "***"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgres://ecm:hunter2@db:5432/pulumi", "postgres://ecm:***@db:5432/pulumi"),
        ("postgres://ecm:hun/ter@2@db/pulumi", "postgres://ecm:***@db/pulumi"),
        ("postgres://db/pulumi?user=ecm&password=hunter2&sslmode=require", None),
        ("error: cannot parse `postgres://ecm:hunter2@db`: no port", None),
        ("https://account.blob/?sv=1&sig=hunter2", None),
    ],
)
def test_a_password_in_a_text_is_masked_and_the_rest_stays(text: str, shown: str | None) -> None:
    result = masked(text)
    assert "hunter2" not in result
    assert "ter@2" not in result
    assert "***" in result
    assert shown in (None, result)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("OS_AUTH_URL", "https://cloud:5000/v3"),
        ("OS_APPLICATION_CREDENTIAL_ID", "0123"),
        ("ECM_STACK", "organization/ecm/dev"),
        ("AWS_REGION", "eu-central-1"),
        ("key_name", "mykey"),
        ("why", "locked: postgres://db:5432/x.json: created by ecm@master (pid 77)"),
        ("wrong", "incorrect passphrase - export PULUMI_CONFIG_PASSPHRASE=…"),
        ("count", 3),
        ("nothing", None),
    ],
)
def test_what_is_no_secret_can_be_read(key: str, value: object) -> None:
    assert masked(value, key) == value


def test_masking_goes_all_the_way_down() -> None:
    assert masked({"a": [{"password": "x"}], "token": ["y"]}) == {"a": [{"password": "***"}], "token": ["***"]}


def test_only_what_the_controller_looks_at_is_shown() -> None:
    assert configuration({"HOME": "/root", "OS_CLOUD": "c", "ECM_STACK": "s"}) == {"ECM_STACK": "s", "OS_CLOUD": "c"}
