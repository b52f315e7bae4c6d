"""The one kind of error that a user sees: a line that says what failed, why, and what to do next."""

import sys
from typing import NoReturn

import pulumi

ERROR_WAS_SHOWN = 32
"""Pulumi's language host adds a line of its own about any other exit status."""


class EcmError(Exception):
    """`what - why - what to do`, in one line and without secrets."""


class SettingsError(EcmError):
    """A setting is missing, unknown or out of its bounds."""


class CloudError(EcmError):
    """OpenStack can't be reached, refuses the login, or lacks what a setting names."""


class MasterError(EcmError):
    """The master's server is of no use, and nothing but the user's word replaces it."""


def end_with(error: EcmError) -> NoReturn:
    """Ends the program, also from within an `apply`, with the one line and no traceback."""
    pulumi.log.error(str(error))
    sys.exit(ERROR_WAS_SHOWN)
