"""Checks of a search: whether its best configuration suggests to search further."""

import math

import numpy as np

from tabular.evaluation.diagnosis import Finding, check_trees
from tabular.model.hyperparameters import HYPERPARAMETERS, Hyperparameter, Range
from tabular.sweep.space import Config, SearchSpace

EDGE = 0.05  # of a range, as it is drawn from: rates and penalties on a logarithmic scale


def diagnose(space: SearchSpace, best: Config, curve: np.ndarray | None) -> list[Finding]:
    """What the checks of a search found.

    Args:
        curve: validation log loss of the best configuration after each round; None: unknown.
    """
    found = [check_edges(space, best)]
    if curve is not None:
        trees = space["n_estimators"]
        max_trees = trees.high if isinstance(trees, Range) else max(trees)
        found.append(check_trees(curve.tolist(), int(max_trees)))
    return [finding for finding in found if finding]


def check_edges(space: SearchSpace, best: Config) -> Finding | None:
    """The best configuration lies at an end of what was searched, and values beyond it exist.

    ``n_estimators`` is left to ``check_trees``, which has the curve.
    """
    numbers = [p for p in HYPERPARAMETERS if not isinstance(p.default, str)]
    parameters = [p for p in numbers if p.name != "n_estimators"]
    edges = [edge for p in parameters if (edge := _edge(p, space[p.name], best[p.name]))]
    if not edges:
        return None
    found, beyond = zip(*edges, strict=True)
    return Finding("edge-of-space", ", ".join(found), f"search {' and '.join(beyond)} too")


def _edge(
    parameter: Hyperparameter, values: Range | tuple, best: int | float
) -> tuple[str, str] | None:
    """At which end the best value is, and which values lie beyond it; None if at neither."""
    if isinstance(values, Range):
        low, high = values.low, values.high
        scale = math.log if parameter.log and low > 0 else float
        margin = EDGE * (scale(high) - scale(low))
        ends, of = ("near the lower end", "near the upper end"), str(values)
    else:
        low, high, scale, margin = min(values), max(values), float, 0.0
        ends, of = ("the smallest", "the largest"), ", ".join(map(str, sorted(values)))
    name, least = parameter.name, parameter.low
    if isinstance(parameter.default, int):
        least = max(least, 1)  # 0 sets no bound, so that there is nothing above it
    if low < high and low > least and scale(best) - scale(low) <= margin:
        return f"{name}={best} is {ends[0]} of {of}", f"{name} below {low}"
    if least <= low < high != parameter.high and scale(high) - scale(best) <= margin:
        return f"{name}={best} is {ends[1]} of {of}", f"{name} above {high}"
    return None
