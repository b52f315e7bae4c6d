"""How the Pulumi program ends when something is wrong. Apart from the errors, which the master's `ecm` has too."""

import sys
from typing import NoReturn

import pulumi

from cluster.errors import EcmError

ERROR_WAS_SHOWN = 32
"""Pulumi's language host adds a line of its own about any other exit status."""


def end_with(error: EcmError) -> NoReturn:
    """Ends the program, also from within an `apply`, with the one line and no traceback."""
    pulumi.log.error(str(error))
    sys.exit(ERROR_WAS_SHOWN)
