"""Slaves' tokens: what they say, and that HTCondor's key makes them."""

from datetime import UTC, datetime

import jwt
import pytest

from controller import tokens

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_token_names_its_slave_and_is_good_for_advertising_only() -> None:
    token = tokens.slave_token("ecm-dev-slave-a", b"key", NOW)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["sub"], claims["iss"]) == ("ecm-dev-slave-a@slaves.pool", "pool")
    assert claims["scope"].split() == ["condor:/ADVERTISE_STARTD", "condor:/ADVERTISE_MASTER", "condor:/READ"]
    assert claims["exp"] - claims["iat"] == tokens.LIFE.total_seconds()
    assert jwt.get_unverified_header(token)["kid"] == "POOL"


def test_two_tokens_are_never_the_same() -> None:
    assert tokens.slave_token("a", b"key", NOW) != tokens.slave_token("a", b"key", NOW)


def test_another_pools_key_doesnt_verify_it() -> None:
    token = tokens.slave_token("a", b"key", datetime.now(UTC))
    jwt.decode(token, tokens._signing_key(b"key"), algorithms=["HS256"])
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, tokens._signing_key(b"other"), algorithms=["HS256"])
