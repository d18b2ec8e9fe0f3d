"""The nouns of the project.

``table``, ``hyperparameters``, ``data``, ``synthetic``, ``model``, ``evaluation`` and ``plots``
know nothing of MLflow; ``served`` is the code that travels inside a logged model; ``tracking``
talks to the store; ``cli`` is what the command lines share, and
``interruption`` what signals do.
"""


class UserError(Exception):
    """A slip of the user's: one or two plain lines say what was found and what to do."""
