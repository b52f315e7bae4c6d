"""What goes wrong in ways that a user can act on."""


class LocalCloudError(Exception):
    """One line: what - why - what to do."""

    exit_code = 1


class UnfitHostError(LocalCloudError):
    """This machine can't run the cloud."""

    exit_code = 2
