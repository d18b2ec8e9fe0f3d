"""A grid of hyper-parameters: its points, those that one fit serves, and the best of them."""

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import product

from tabular.errors import UserError
from tabular.model.hyperparameters import DEFAULTS, Range

METRICS = {"log_loss": 1, "accuracy": -1, "roc_auc": -1}  # 1: less is better

Config = dict[str, int | float]


def grid_configs(lists: dict[str, tuple], max_points: int) -> list[Config]:
    """Every combination of the values of all hyper-parameters, each once.

    Raises:
        UserError: there are more than ``max_points``, or a range has no end of values.
    """
    for name, span in lists.items():
        if isinstance(span, Range):
            raise UserError(
                f"{name}: a grid needs a list, got the range {span}; "
                "list the values, or draw from ranges with sampler=random or sampler=tpe"
            )
    values = [tuple(dict.fromkeys(lists[name])) for name in DEFAULTS]
    if (size := math.prod(map(len, values))) > max_points:
        raise UserError(
            f"max_points: the grid has {size:,} points, more than {max_points:,}; "
            "shorten a list or raise max_points"
        )
    return [dict(zip(DEFAULTS, combination, strict=True)) for combination in product(*values)]


def config_key(point: Config) -> tuple:
    """What tells a point of a grid from the others."""
    return tuple(point.values())


def varied_names(grid_configs: Iterable[Config]) -> list[str]:
    """The hyper-parameters that are not the same everywhere."""
    grid_configs = [*grid_configs]
    return [name for name in grid_configs[0] if len({point[name] for point in grid_configs}) > 1]


def shared_fits(grid_configs: Iterable[Config]) -> list[list[Config]]:
    """Points that differ only in ``n_estimators``, together, fewest trees first; most work first.

    Boosting is sequential: the first trees of a long fit are the trees of a short one.
    """
    fits: dict[tuple, list[Config]] = {}
    for point in sorted(grid_configs, key=lambda point: point["n_estimators"]):
        shape = tuple(value for name, value in point.items() if name != "n_estimators")
        fits.setdefault(shape, []).append(point)
    return sorted(fits.values(), key=lambda fit: sum(fit_cost([fit]).values()), reverse=True)


def fit_cost(fits: Iterable[list[Config]]) -> dict[tuple, int]:
    """What each point adds to its shared fit, by its values, in no unit.

    Measured: the time of a round is linear in the depth, and a stump's is not much less.
    """
    return {
        config_key(point): (point["n_estimators"] - trees) * (3 + point["max_depth"])
        for fit in fits
        for point, trees in zip(fit, [0] + [p["n_estimators"] for p in fit[:-1]], strict=True)
    }


def rank_key(point: Config, score: float, metric: str) -> tuple:
    """A key to sort by, best first; of equal scores the model with room for fewer leaves."""
    leaves = point["n_estimators"] * 2 ** point["max_depth"]
    return METRICS[metric] * score, leaves, config_key(point)


class Grid:
    """All points of a grid as work to do.

    Attributes:
        trees: None: every point is judged at its own number of trees.
        total, done: work in no unit; all of it, and what was heard of.
    """

    trees = None

    def __init__(self, grid_configs: list[Config]):
        self.points, self.n_points = grid_configs, len(grid_configs)

    def __str__(self) -> str:
        return (
            f"grid   points: {self.n_points:,}, fits they share: {len(shared_fits(self.points)):,}"
        )

    def start(self, known: Callable[[Config], object]) -> int:
        """Leave out what is known; returns the number of fits that remain."""
        self.rest = shared_fits(point for point in self.points if not known(point))
        self.work, self.done = fit_cost(self.rest), 0
        self.total = sum(self.work.values())
        return len(self.rest)

    def fits(self, ahead: int) -> Iterator[list[Config]]:
        """One fit after the other, most work first."""
        return iter(self.rest)

    def tell(self, outcome) -> None:
        """Hear what a point gave."""
        self.done += self.work[config_key(outcome.point)]
