"""A grid of hyper-parameters: its points, those that one fit serves, and the best of them."""

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import product

from census import UserError
from census.hyperparameters import DEFAULTS, Span

METRICS = {"log_loss": 1, "accuracy": -1, "roc_auc": -1}  # 1: less is better

Point = dict[str, int | float]


def points(lists: dict[str, tuple], max_points: int) -> list[Point]:
    """Every combination of the values of all hyper-parameters, each once.

    Raises:
        UserError: there are more than ``max_points``, or a range has no end of values.
    """
    for name, span in lists.items():
        if isinstance(span, Span):
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


def key(point: Point) -> tuple:
    """What tells a point of a grid from the others."""
    return tuple(point.values())


def varied(points: Iterable[Point]) -> list[str]:
    """The hyper-parameters that are not the same everywhere."""
    points = [*points]
    return [name for name in points[0] if len({point[name] for point in points}) > 1]


def shared_fits(points: Iterable[Point]) -> list[list[Point]]:
    """Points that differ only in ``n_estimators``, together, fewest trees first; most work first.

    Boosting is sequential: the first trees of a long fit are the trees of a short one.
    """
    fits: dict[tuple, list[Point]] = {}
    for point in sorted(points, key=lambda point: point["n_estimators"]):
        shape = tuple(value for name, value in point.items() if name != "n_estimators")
        fits.setdefault(shape, []).append(point)
    return sorted(fits.values(), key=lambda fit: sum(work([fit]).values()), reverse=True)


def work(fits: Iterable[list[Point]]) -> dict[tuple, int]:
    """What each point adds to its shared fit, by its values, in no unit.

    Measured: the time of a round is linear in the depth, and a stump's is not much less.
    """
    return {
        key(point): (point["n_estimators"] - trees) * (3 + point["max_depth"])
        for fit in fits
        for point, trees in zip(fit, [0] + [p["n_estimators"] for p in fit[:-1]], strict=True)
    }


def preference(point: Point, score: float, metric: str) -> tuple:
    """A key to sort by, best first; of equal scores the model with room for fewer leaves."""
    leaves = point["n_estimators"] * 2 ** point["max_depth"]
    return METRICS[metric] * score, leaves, key(point)


class Grid:
    """All points of a grid as work to do.

    Attributes:
        trees: None: every point is judged at its own number of trees.
        total, done: work in no unit; all of it, and what was heard of.
    """

    trees = None

    def __init__(self, points: list[Point]):
        self.points, self.n_points = points, len(points)

    def __str__(self) -> str:
        return (
            f"grid   points: {self.n_points:,}, fits they share: {len(shared_fits(self.points)):,}"
        )

    def start(self, known: Callable[[Point], object]) -> int:
        """Leave out what is known; returns the number of fits that remain."""
        self.rest = shared_fits(point for point in self.points if not known(point))
        self.work, self.done = work(self.rest), 0
        self.total = sum(self.work.values())
        return len(self.rest)

    def fits(self, ahead: int) -> Iterator[list[Point]]:
        """One fit after the other, most work first."""
        return iter(self.rest)

    def tell(self, outcome) -> None:
        """Hear what a point gave."""
        self.done += self.work[key(outcome.point)]
