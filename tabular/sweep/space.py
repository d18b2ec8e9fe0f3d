"""The search space of a sweep: the configurations of a grid, and the fits that they share."""

import math
import random
from collections.abc import Callable, Iterable, Iterator
from itertools import product
from typing import Any

from tabular.errors import UserError
from tabular.model.hyperparameters import DEFAULTS, Range, tree_leaves
from tabular.model.hyperparameters import Config as Config
from tabular.options import SEARCH_METRICS

SearchSpace = dict[str, Any]  # a tuple of values or a ``Range``, by hyper-parameter


def grid_configs(space: SearchSpace, max_points: int) -> list[Config]:
    """Every combination of the values of all hyper-parameters, each once.

    Raises:
        UserError: there are more than ``max_points``, or a range is given.
    """
    for name, values in space.items():
        if isinstance(values, Range):
            raise UserError(
                f"{name}: a grid needs a list, got the range {values}; "
                "list the values, or draw from ranges with sampler=random or sampler=tpe"
            )
    lists = [tuple(dict.fromkeys(space[name])) for name in DEFAULTS]
    if (size := math.prod(len(values) for values in lists)) > max_points:
        raise UserError(
            f"max_points: the grid has {size:,} configurations, more than {max_points:,}; "
            "shorten a list or raise max_points"
        )
    return [dict(zip(DEFAULTS, combination, strict=True)) for combination in product(*lists)]


def config_key(config: Config) -> tuple:
    """A hashable value that identifies a configuration."""
    return tuple(config.values())


def varied_names(configs: Iterable[Config]) -> list[str]:
    """The hyper-parameters that have more than one value."""
    configs = [*configs]
    return [name for name in configs[0] if len({config[name] for config in configs}) > 1]


def shared_fits(configs: Iterable[Config]) -> list[list[Config]]:
    """Groups of configurations that differ only in ``n_estimators``, the most costly group first.

    Boosting is sequential: the first trees of a long fit are the trees of a short one, so one fit
    serves the whole group. Within a group the fewest trees come first.
    """
    groups: dict[tuple, list[Config]] = {}
    for config in sorted(configs, key=lambda config: config["n_estimators"]):
        others = tuple(value for name, value in config.items() if name != "n_estimators")
        groups.setdefault(others, []).append(config)
    return sorted(groups.values(), key=lambda fit: sum(fit_cost([fit]).values()), reverse=True)


def fit_cost(fits: Iterable[list[Config]]) -> dict[tuple, int | float]:
    """What each configuration adds to the time of its shared fit, by its key, in no unit.

    As measured, the time of a tree is linear in the depth and has a constant part. The depth is
    that of a balanced tree with as many leaves as a tree can have.
    """
    return {
        config_key(config): (config["n_estimators"] - rounds)
        * config["num_parallel_tree"]
        * (3 + math.log2(tree_leaves(config)))
        for fit in fits
        for config, rounds in zip(fit, [0] + [c["n_estimators"] for c in fit[:-1]], strict=True)
    }


def rank_key(config: Config, score: float, metric: str) -> tuple:
    """A key that sorts the best first; of equal scores, the config that allows fewer leaves."""
    leaves = config["n_estimators"] * config["num_parallel_tree"] * tree_leaves(config)
    return SEARCH_METRICS[metric] * score, leaves, config_key(config)


class GridSearch:
    """All configurations of a grid.

    Args:
        seed: puts the fits into a random order, so that a search that ends early has looked
            everywhere; None: the most costly fit comes first.

    Attributes:
        tree_choices: None: every configuration has its own number of trees.
        total, done: the cost of all fits, and of those that have results; in no unit.
        n_open: configurations without a result.
        n_repeated: proposals of a configuration that had been proposed before.
    """

    tree_choices = None
    noun = "configuration"
    n_repeated = 0

    def __init__(self, configs: list[Config], seed: int | None = None) -> None:
        self.configs, self.n_configs, self.seed = configs, len(configs), seed

    def __str__(self) -> str:
        fits = f"{len(shared_fits(self.configs)):,}"
        return f"grid   configurations: {self.n_configs:,}, fits they share: {fits}"

    def start(self, cached: Callable[[Config], Any]) -> int:
        """Leave out the configurations with a cached result; returns the number of fits left."""
        self.remaining = shared_fits(config for config in self.configs if not cached(config))
        if self.seed is not None:
            random.Random(self.seed).shuffle(self.remaining)
        self.cost = fit_cost(self.remaining)
        self.done: int | float = 0
        self.n_open = len(self.cost)
        self.total = sum(self.cost.values())
        return len(self.remaining)

    def fits(self, max_in_flight: int) -> Iterator[list[Config]]:
        """One shared fit after the other."""
        return iter(self.remaining)

    def tell(self, result: Any) -> None:
        """Take note of a ``trials.TrialResult``."""
        self.done += self.cost[config_key(result.config)]
        self.n_open -= 1
