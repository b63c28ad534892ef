"""The one error that a user is meant to read."""


class ConvLensError(Exception):
    """Bad input, told in one line: what was expected, what came, how to fix it.

    The command line and the stage runner print the message and exit with 1; they show no traceback.
    """
