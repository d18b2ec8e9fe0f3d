"""Errors that a user reads in one line."""

from click import ClickException


def one_line(text: object) -> str:
    """Text of anybody's as one line, not too long, that no terminal takes for a command."""
    words = " ".join(str(text)[:5000].split())
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in words)[:2000]


class UserError(ClickException):
    """A slip of the user's: one or two plain lines say what was found and what to do."""

    exit_code = 2


class WorkFailed(ClickException):
    """The work itself failed, for a reason that one line tells."""

    exit_code = 1
