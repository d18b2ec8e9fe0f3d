"""The nouns of the project.

``table``, ``hyperparameters``, ``grid``, ``sampling``, ``data``, ``files``, ``fields``,
``writer``, ``synthetic``, ``model``, ``search``, ``evaluation`` and ``plots`` know nothing of
MLflow; ``served`` is the code that travels inside a logged model; ``tracking``, ``store``,
``registry`` and ``children`` talk to MLflow's store; ``cluster``, ``dispatch`` and ``partitions``
to Dask; ``cli`` is what the command lines share, ``interruption`` what signals do, and ``process``
who is still alive.
"""

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
