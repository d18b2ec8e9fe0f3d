"""The nouns of the project: table, data, synthetic, model, served, evaluation, plots, tracking.

``table``, ``data``, ``synthetic``, ``model``, ``evaluation`` and ``plots`` know nothing of MLflow;
``served`` is the code that travels inside a logged model; ``tracking`` talks to the store.
"""


class UserError(Exception):
    """A slip of the user's: its text is one or two plain lines saying what was found and what to do."""
