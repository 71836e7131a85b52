"""
Errors that a user can fix.

They are raised where the cause is known, describe it in one line (path, value, remedy) and reach
the user as that line: from a command with exit code 1, from the node as a log line. Any other
exception is a defect of this package and keeps its traceback: in a file that `mtl` names, from the
node on stderr.
"""

from mtl_perception.credentials import hide_credentials


class MtlError(Exception):
    """Base class of all errors of this package that its user can fix; without credentials."""

    def __init__(self, text: str = '') -> None:
        """Store the message, without users and passwords of URLs."""
        super().__init__(hide_credentials(text))


class ModelError(MtlError):
    """A model file is missing, broken, of another format, or does not match the request."""


class StartError(MtlError):
    """
    A runtime cannot start here, or not with this model, as a package, driver or device is missing.

    Another runtime may start.
    """

    def __init__(self, reason: str, remedy: str = '') -> None:
        """Store the reason, and the remedy if there is one."""
        super().__init__('; '.join(filter(None, (reason, remedy))))
        self.reason = reason
        self.remedy = remedy


class DataError(MtlError):
    """An image, annotation, manifest or bag is missing, broken or contradicts its manifest."""


class ConfigError(MtlError):
    """An option, parameter or configuration file has an invalid value."""


def one_line(error: BaseException, most: int = 300) -> str:
    """
    Return the error's text, or its type if it has none, as one line of at most `most`.

    Users and passwords of URLs are hidden.
    """
    text = hide_credentials(' '.join(str(error).split())) or type(error).__name__
    return text if len(text) <= most else text[:most - 3] + '...'
