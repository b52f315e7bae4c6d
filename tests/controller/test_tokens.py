"""Slaves' tokens: what they say, and that HTCondor's key makes them."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest

import cloudinit
from controller import tokens

SLAVE = Path(cloudinit.__file__).parent / "files/slave/etc/condor/config.d/90-ecm-slave.conf"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_token_names_its_slave_and_is_good_for_advertising_only() -> None:
    token = tokens.slave_token("ecm-dev-slave-a", b"key", NOW)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["sub"], claims["iss"]) == ("ecm-dev-slave-a@slaves.pool", "pool")
    assert claims["scope"].split() == ["condor:/ADVERTISE_STARTD", "condor:/ADVERTISE_MASTER", "condor:/READ"]
    assert claims["exp"] - claims["iat"] == tokens.LIFE.total_seconds()
    assert jwt.get_unverified_header(token)["kid"] == "POOL"


def test_a_token_holds_as_long_as_a_job_may_stay_when_its_slave_is_drained() -> None:
    """Nothing ends a slave by its age: without a token it would leave the pool, with its job."""
    (years,) = re.findall(r"^MAXJOBRETIREMENTTIME = .* (\d+) \* 365 \* 24 \* 3600\)$", SLAVE.read_text(), re.MULTILINE)
    assert timedelta(days=365) * int(years) <= tokens.LIFE


def test_two_tokens_are_never_the_same() -> None:
    assert tokens.slave_token("a", b"key", NOW) != tokens.slave_token("a", b"key", NOW)


def test_another_pools_key_doesnt_verify_it() -> None:
    token = tokens.slave_token("a", b"key", datetime.now(UTC))
    jwt.decode(token, tokens._signing_key(b"key"), algorithms=["HS256"])
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, tokens._signing_key(b"other"), algorithms=["HS256"])
