"""The one kind of error that a user sees: a line that says what failed, why, and what to do next."""


class EcmError(Exception):
    """`what - why - what to do`, in one line and without secrets."""


class SettingsError(EcmError):
    """A setting is missing, unknown or out of its bounds."""


class CloudError(EcmError):
    """OpenStack can't be reached, refuses the login, or lacks what a setting names."""


class MasterError(EcmError):
    """The master's server is of no use, and nothing but the user's word replaces it."""
