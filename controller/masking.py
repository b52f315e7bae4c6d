"""What must not be read in a log or a file for everybody: passwords, keys, tokens."""

import re
from collections.abc import Mapping
from typing import Any

MASK = "***"
SHOWN = ("ECM_", "PULUMI_", "OS_", "AWS_", "AZURE_", "GOOGLE_", "PG")
"""How the variables begin that the controller, Pulumi and its backends look at."""

_SECRET = re.compile(
    r"SECRET|PASS|TOKEN|KEY$|CONNECTION_STRING|^AWS_(?!REGION|DEFAULT_REGION|ENDPOINT)|^GOOGLE_CREDENTIALS",
    re.IGNORECASE,
)
_IN_URL = re.compile(r"(://[^\s:/@]*):\S+@")
_IN_QUERY = re.compile(r"((?:pass(?:word|wd|phrase)?|secret|token|sig|key)=)(?!…)[^&\s;'\"]+", re.IGNORECASE)


def masked(value: Any, key: str = "") -> Any:  # noqa: ANN401 - whatever is logged
    """The value without its secrets: nothing of it when its key names one, else its texts without passwords."""
    match value:
        case str() if value and _SECRET.search(key):
            return MASK
        case str():
            return _IN_QUERY.sub(rf"\1{MASK}", _IN_URL.sub(rf"\1:{MASK}@", value))
        case Mapping():
            return {name: masked(of_name, str(name)) for name, of_name in value.items()}
        case list() | tuple() | set() | frozenset():
            return [masked(item, key) for item in value]
        case _:
            return value


def configuration(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that have an effect on the controller, masked."""
    return {key: masked(environment[key], key) for key in sorted(environment) if key.startswith(SHOWN)}
