"""HTCondor tokens for slaves, made from the pool's signing key as HTCondor makes them itself.

A token is a JWT (HS256). Its key is derived from the key file's bytes by HKDF-SHA256, salt `htcondor`, info `master
jwt` (HTCondor's condor_utils/condor_auth_passwd.cpp and token_utils.cpp; checked against condor_token_create).
"""

import uuid
from datetime import datetime, timedelta
from itertools import cycle

import jwt
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

TRUST_DOMAIN = "pool"
KEY_NAME = "POOL"
SLAVE_DOMAIN = "slaves.pool"
SLAVE_SCOPE = "condor:/ADVERTISE_STARTD condor:/ADVERTISE_MASTER condor:/READ"
LIFE = timedelta(days=3650)
"""Longer than any slave lives, though nothing ends one by its age: it would leave the pool with its jobs."""

_SCRAMBLE = bytes.fromhex("deadbeef")


def slave_token(name: str, key_file: bytes, now: datetime) -> str:
    """A token that lets the slave of this name advertise itself, and do nothing else.

    Args:
        name: the slave's name; the identity is `<name>@slaves.pool`.
        key_file: the content of the pool's key file, as it is on disk.
        now: the time of issue.
    """
    claims = {
        "iss": TRUST_DOMAIN,
        "sub": f"{name}@{SLAVE_DOMAIN}",
        "scope": SLAVE_SCOPE,
        "iat": int(now.timestamp()),
        "exp": int((now + LIFE).timestamp()),
        "jti": uuid.uuid4().hex,
    }
    return jwt.encode(claims, _signing_key(key_file), algorithm="HS256", headers={"kid": KEY_NAME})


def _signing_key(key_file: bytes) -> bytes:
    password = bytes(byte ^ mask for byte, mask in zip(key_file, cycle(_SCRAMBLE), strict=False)).split(b"\0", 1)[0]
    # HTCondor doubles the key named POOL, which is the pool password too, and no other.
    return HKDF(algorithm=SHA256(), length=32, salt=b"htcondor", info=b"master jwt").derive(password * 2)
