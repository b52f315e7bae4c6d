"""Values of settings: how one of the stack's file becomes ours, or is refused with what to write instead.

Pulumi's configuration has strings only; lists and maps come as JSON. Where a message has `ecm:KEY`, the setting's own
key belongs: `cluster.settings` puts it there.
"""

import base64
import difflib
import json
import re
from ipaddress import IPv4Network
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field

from cloudinit import systems
from cloudinit.systems import SYSTEMS, UNUSABLE

_SHOWN = 80
"""Characters of a value in a message."""
# Not `git-`, by which apt would remove it.
_PACKAGE = re.compile(r"[A-Za-z0-9@]([A-Za-z0-9@:.+_~=-]*[A-Za-z0-9.+_~])?")
_MOST_CIDRS = 64
_PROXY = re.compile(r"http://[A-Za-z0-9.-]+:[0-9]+/?")
_ACCOUNT = re.compile(r"(?!systemd-|slot\d)[a-z_]([a-z0-9_-]{0,30}[a-z0-9_])?")
"""Not systemd's own accounts, nor those that HTCondor runs jobs by, a slot's each."""
_NAMES = """
root ecm condor nobody admin administrator almalinux cloud-user debian ubuntu fedora centos rocky ec2-user cernvm
adm audio avahi backup bin cdrom chrony daemon dbus dialout disk docker floppy ftp games gdm gnats groups halt input
irc kmem kvm lock lp lxd mail man messagebus mysql named netdev news nogroup operator plugdev podman polkitd postfix
postgres proxy render rpc rpcuser shadow shutdown src sshd sshd-keygen sssd staff sudo sync sys syslog
tape tcpdump tss tty users utmp uucp uuidd video voice wheel www-data _apt
_chrony
"""
# Ours, and those that systems and images have: a key would open another one's account, or a group of its name.
_TAKEN = frozenset(_NAMES.split())
_KEY_TYPES = (
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh",
)


def shown(value: object) -> str:
    """A value in a message: whole, unless it would fill the screen."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _system(value: str) -> str:
    if value not in SYSTEMS:
        found = systems.find(None, None, value)
        if found and found in UNUSABLE:
            raise ValueError(f"ecm:KEY is {shown(value)} - {UNUSABLE[found]} - take another image")
        near = [found] if found else difflib.get_close_matches(value, SYSTEMS, n=1)
        meant = f"did you mean {near[0]}?" if near else f"take one of: {', '.join(SYSTEMS)}"
        raise ValueError(f"ecm:KEY is {shown(value)} - there is no such system here - {meant}")
    return value


def _json(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise ValueError(
            f"ecm:KEY is {shown(value)} - it should be a list or map - in the stack's file write it as YAML's, "
            "or pulumi config set --path 'ecm:KEY[0]' VALUE"
        ) from None


def _packages(value: object) -> tuple[str, ...]:
    names = _json(value)
    if not isinstance(names, list | tuple) or not all(isinstance(n, str) and _PACKAGE.fullmatch(n) for n in names):
        raise ValueError(
            f"ecm:KEY is {shown(names)} - it should be a list of packages, by the names that the system has - "
            "pulumi config set --path 'ecm:KEY[0]' NAME"
        )
    return tuple(names)


def _users(value: object) -> dict[str, tuple[str, ...]]:
    accounts = _json(value)
    if not isinstance(accounts, dict):
        raise ValueError(  # noqa: TRY004 - pydantic passes a TypeError on as it is
            f"ecm:users is {shown(accounts)} - it maps account names to lists of public ssh keys - "
            "pulumi config set --path 'ecm:users.alice[0]' \"$(cat alice.pub)\""
        )
    for name, keys in accounts.items():
        if not _ACCOUNT.fullmatch(name) or name in _TAKEN:
            raise ValueError(
                f"ecm:users has an account {shown(name)} - no account can be made of that name - "
                "take lower-case letters and digits"
            )
        if not isinstance(keys, list | tuple) or not keys or not all(_is_key(key) for key in keys):
            raise ValueError(
                f"ecm:users.{name} is no list of public ssh keys - nobody could log in - "
                f"pulumi config set --path 'ecm:users.{name}[0]' \"$(cat {name}.pub)\""
            )
    return {name: tuple(keys) for name, keys in accounts.items()}


def _is_key(key: object) -> bool:
    """Whether this is a line of an authorized_keys file, with no options, and whole: a pasted one may be cut off."""
    if not isinstance(key, str) or "\n" in key or not key.startswith(_KEY_TYPES):
        return False
    kind, _, rest = key.partition(" ")
    try:
        blob = base64.b64decode(rest.split(" ")[0], validate=True)
    except ValueError:
        return False
    # The type is in the key itself once more, before its numbers.
    parts = _parts(blob)
    return len(parts) > 1 and parts[0] == kind.encode()


def _parts(blob: bytes) -> list[bytes]:
    """What a key consists of, each part with its length before it; nothing when the last one is cut off."""
    parts = []
    while blob:
        size = int.from_bytes(blob[:4])
        part, blob = blob[4 : 4 + size], blob[4 + size :]
        if len(part) != size:
            return []
        parts.append(part)
    return parts


def _cidrs(value: object) -> tuple[str, ...]:
    hint = "pulumi config set --path 'ecm:allowedCidrs[0]' 192.0.2.0/24"
    try:
        listed = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        listed = value
    if not isinstance(listed, list | tuple) or not listed:
        raise ValueError(f"ecm:allowedCidrs is {shown(listed)} - it should be a list of networks - {hint}")
    try:
        # The same network twice would be the same rule twice, which Neutron refuses.
        networks = tuple(dict.fromkeys(str(IPv4Network(str(cidr))) for cidr in listed))
    except ValueError as error:
        raise ValueError(f"ecm:allowedCidrs is {shown(listed)} - {error} - {hint}") from None
    if len(networks) > _MOST_CIDRS:
        raise ValueError(
            f"ecm:allowedCidrs has {len(networks)} networks - each takes several rules of the project's quota - "
            f"join them to {_MOST_CIDRS} or fewer"
        )
    return networks


def _proxy(value: str) -> str:
    hint = "pulumi config set ecm:proxy http://HOST:PORT"
    if "@" in value:
        # Not shown, and first: a password may be anywhere in what can't be read as a URL.
        raise ValueError(f"ecm:proxy has a login - everybody on the slaves could read it - {hint}, without one")
    try:
        port = urlsplit(value).port
    except ValueError as error:
        raise ValueError(f"ecm:proxy is {value!r} - {error} - {hint}") from None
    if not _PROXY.fullmatch(value) or not port:
        raise ValueError(f"ecm:proxy is {value!r} - it should be the URL of an HTTP proxy with its port - {hint}")
    return value.rstrip("/")


Name = Annotated[str, Field(min_length=1, max_length=255)]
System = Annotated[str, BeforeValidator(_system)]
Packages = Annotated[tuple[str, ...], BeforeValidator(_packages)]
Users = Annotated[dict[str, tuple[str, ...]], BeforeValidator(_users)]
FilePath = Annotated[str, Field(min_length=1, max_length=4096)]
Cidrs = Annotated[tuple[str, ...], BeforeValidator(_cidrs)]
Proxy = Annotated[str, BeforeValidator(_proxy)]
