"""The stack's state as the master reaches it: which backends serve, and what login to them the master is given."""

import ipaddress
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, urlsplit

from cluster.errors import SettingsError
from cluster.settings import Settings

OWN = "ECM_MASTER_"
"""What begins with this is for the master alone, and goes before the user's own variable of the same name."""
CLOUD = "https"
"""Pulumi Cloud, which keeps the secrets' key itself."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of backend: the variables of its login, and of which groups of them one is needed."""

    variables: tuple[str, ...] = ()
    needed: tuple[tuple[str, ...], ...] = ()


KINDS = {
    "postgres": Kind(),
    "s3": Kind(
        ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION"),
        (("AWS_ACCESS_KEY_ID",), ("AWS_SECRET_ACCESS_KEY",)),
    ),
    "gs": Kind(("GOOGLE_CREDENTIALS",), (("GOOGLE_CREDENTIALS",),)),
    "azblob": Kind(
        ("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN"),
        (("AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN"),),
    ),
    CLOUD: Kind(("PULUMI_ACCESS_TOKEN",), (("PULUMI_ACCESS_TOKEN",),)),
}


@dataclass(frozen=True, slots=True)
class Handover:
    """What the master is given, and what the user should know of it."""

    environment: Mapping[str, str]
    """Secret."""
    warnings: tuple[str, ...]


def for_master(settings: Settings, environment: Mapping[str, str], catalogue: Mapping[str, Sequence[str]]) -> Handover:
    """The environment by which the master reaches the state.

    Args:
        settings: `masterBackendUrl` goes first.
        environment: of `pulumi up`. PULUMI_BACKEND_URL and the variables of that backend's login are what `pulumi up`
            itself uses; each with ECM_MASTER_ before it (for the URL: ECM_MASTER_BACKEND_URL) is the master's own.
        catalogue: the URLs of the cloud's services, by their type.

    Raises:
        SettingsError: no URL is known, it is one that only this machine reaches, or a part of the login lacks.
    """
    given = settings.master_backend_url.get_secret_value() if settings.master_backend_url else None
    own_url = given or environment.get("ECM_MASTER_BACKEND_URL")
    url = own_url or environment.get("PULUMI_BACKEND_URL") or ""
    if why := _unreachable(url):
        raise SettingsError(
            f"the master has no way to the stack's state - {why}"
            " - keep the state in PostgreSQL or an object store and set ecm:masterBackendUrl or ECM_MASTER_BACKEND_URL"
        )
    parts = urlsplit(url)
    if parts.scheme == "postgres" and not _has_password(parts) and environment.get("PGPASSWORD"):
        raise SettingsError(
            "the master has no login to the stack's state - "
            "its password is in PGPASSWORD, which the master doesn't get - "
            "set ECM_MASTER_BACKEND_URL to postgres://USER:PASSWORD@HOST/DATABASE"
        )
    login = _login(KINDS[parts.scheme], parts.scheme, environment)
    handed = {"PULUMI_BACKEND_URL": url, **login, **_passphrase(parts.scheme, environment)}
    shared = [
        name
        for name in login
        if name not in {"AWS_REGION", "AZURE_STORAGE_ACCOUNT"} and not environment.get(OWN + name)
    ]
    warnings = []
    if shared or (not own_url and _has_password(parts)):
        what = ", ".join(f"{OWN}{name}" for name in shared) or "ECM_MASTER_BACKEND_URL"
        warnings.append(
            "the master gets your own login to the state - whoever is root there has it then - make it one of its own "
            f"and set {what}"
        )
    if parts.scheme == "postgres" and not _is_safe_on_the_way(parts):
        warnings.append(
            f"the state's server {_host(parts)} is not checked on the way there - whoever is in between reads the "
            "password and the state, and can change which program the master runs - put sslmode=verify-full in the URL"
        )
    if parts.scheme == "postgres" and (names := _files(parts)):
        warnings.append(
            f"the URL of the state names a file by {', '.join(names)} - the master has no such file unless its image "
            "or ecm:masterScript brings it, and without it can't reach the state, or not check whose it is - let that "
            "script write it, or leave sslrootcert out where a public authority has signed the server's certificate"
        )
    if parts.scheme == "s3":
        warnings += _of_this_cloud(parts, catalogue)
    return Handover(handed, tuple(warnings))


def _unreachable(url: str) -> str:
    if not url:
        return "no URL is set"
    try:
        parts = urlsplit(url)
        host = _host(parts)
    except ValueError:
        return "its URL can't be read"
    if parts.scheme == "file":
        return "a file:// backend serves one machine only, in a shared folder too (docs/adr/0010)"
    if parts.scheme not in KINDS:
        return f"{parts.scheme or 'its URL'} is no backend that is known here, those are: {', '.join(KINDS)}"
    if host and (host == "localhost" or _is_loopback(host)):
        return f"{host} is this machine only"
    return ""


def _host(parts: SplitResult) -> str:
    """Where the URL of a backend goes; empty for Amazon's and the like."""
    if parts.scheme == "s3":
        return _endpoint(parts).hostname or ""
    if parts.scheme != "postgres":
        return parts.hostname or ""
    host = parts.hostname or parse_qs(parts.query).get("host", [""])[0]
    # A path is that of a socket.
    return "localhost" if not host or host.startswith("/") else host


def _has_password(parts: SplitResult) -> bool:
    return bool(parts.password or parse_qs(parts.query).get("password"))


def _files(parts: SplitResult) -> list[str]:
    """What of PostgreSQL's URL names a file of the machine that connects."""
    said = parse_qs(parts.query)
    if said.get("sslinline") == ["true"]:
        return []
    return [name for name in ("sslrootcert", "sslcert", "sslkey") if said.get(name, ["system"]) != ["system"]]


def _is_safe_on_the_way(parts: SplitResult) -> bool:
    """Whether nobody in between passes for the server: it is on a network of the site's own, or its key is checked."""
    try:
        if ipaddress.ip_address(_host(parts)).is_private:
            return True
    except ValueError:
        pass
    return parse_qs(parts.query).get("sslmode") == ["verify-full"]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _login(kind: Kind, scheme: str, environment: Mapping[str, str]) -> dict[str, str]:
    found = {name: environment.get(OWN + name) or environment.get(name, "") for name in kind.variables}
    for group in kind.needed:
        if not any(found[name] for name in group):
            raise SettingsError(
                f"the master has no login to the stack's state - a {scheme}:// backend needs {' or '.join(group)} - "
                f"set {' or '.join(OWN + name for name in group)}"
            )
    if key := found.get("GOOGLE_CREDENTIALS"):
        try:
            # In one line, which is all that the master's environment takes.
            found["GOOGLE_CREDENTIALS"] = json.dumps(json.loads(key))
        except ValueError:
            raise SettingsError(
                "the master has no login to the stack's state - GOOGLE_CREDENTIALS is no JSON - set "
                f'{OWN}GOOGLE_CREDENTIALS to the content of a service account\'s key: "$(cat key.json)"'
            ) from None
    return {name: value for name, value in found.items() if value}


def _passphrase(scheme: str, environment: Mapping[str, str]) -> dict[str, str]:
    phrase = environment.get("PULUMI_CONFIG_PASSPHRASE")
    file = environment.get("PULUMI_CONFIG_PASSPHRASE_FILE")
    if phrase is None and file:
        try:
            phrase = Path(file).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            why = "it isn't text" if isinstance(error, UnicodeDecodeError) else error.strerror
            raise SettingsError(
                f"PULUMI_CONFIG_PASSPHRASE_FILE can't be read - {why}: {file} - name a file with the passphrase"
            ) from None
    if phrase is not None:
        return {"PULUMI_CONFIG_PASSPHRASE": phrase}
    if scheme == CLOUD:
        return {}
    raise SettingsError(
        "the master can't read the secrets of the stack's state - there is no passphrase, and of Pulumi's other ways "
        "to encrypt only Pulumi Cloud's own is supported - set PULUMI_CONFIG_PASSPHRASE"
    )


def _of_this_cloud(parts: SplitResult, catalogue: Mapping[str, Sequence[str]]) -> Iterator[str]:
    host = _endpoint(parts).hostname
    urls = [urlsplit(url) for listed in catalogue.values() for url in listed]
    if not host or host not in {url.hostname for url in urls}:
        return
    yield (
        f"the state is in this cloud's own object store {host} - if AWS_ACCESS_KEY_ID is an EC2 key of Keystone, "
        "it carries its user's full power over the project, and the master has it - take PostgreSQL, or a user that "
        "may do no more"
    )
    stores = [urlsplit(url) for url in catalogue.get("object-store", ()) if urlsplit(url).hostname == host]
    # Ceph's gateway, which is consistent, has /swift/v1.
    if any(store.path.startswith("/v1/AUTH_") for store in stores):
        yield (
            f"the object store {host} is Swift - it is only eventually consistent: two updates at once can both run, "
            "and one is lost - take PostgreSQL"
        )


def _endpoint(parts: SplitResult) -> SplitResult:
    """Where an s3:// URL goes; nowhere in particular for Amazon's."""
    (endpoint, *_) = parse_qs(parts.query).get("endpoint", [""])
    return urlsplit(endpoint if "//" in endpoint else f"//{endpoint}")
