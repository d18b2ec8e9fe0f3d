"""Configurations that Optuna draws from lists and ranges, at random or by TPE."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import optuna

from tabular.model.hyperparameters import HYPERPARAMETERS, Hyperparameter, Range
from tabular.options import SEARCH_METRICS
from tabular.sweep import space
from tabular.sweep.space import Config, SearchSpace


class OptunaSearch:
    """The trials of a study: each is one fit, and its best number of trees is found.

    Results are told to Optuna in the order in which the trials were drawn, whichever ended first,
    and a trial is drawn when fewer than ``max_in_flight`` of those before it have not been told. So
    a study that starts again draws the same trials.

    Args:
        search_space: for each hyper-parameter the values, or the range of values, to draw from.
        sampler: random or tpe.
        metric: what the sampler optimises, one of ``options.SEARCH_METRICS``.
        n_trials: a configuration that is drawn again counts, but is not evaluated again.

    Attributes:
        tree_choices: the numbers of trees among which the best is found for each trial.
    """

    def __init__(
        self, search_space: SearchSpace, sampler: str, metric: str, seed: int, n_trials: int
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        samplers = {
            "random": lambda: optuna.samplers.RandomSampler(seed),
            "tpe": lambda: optuna.samplers.TPESampler(
                multivariate=True, constant_liar=True, seed=seed
            ),
        }
        self.study = optuna.create_study(sampler=samplers[sampler]())
        self.search_space, self.sampler, self.metric = search_space, sampler, metric
        self.n_configs = self.total = n_trials
        self.noun = f"{sampler} trial"
        trees = search_space["n_estimators"]
        if isinstance(trees, Range):
            trees = range(int(trees.low), int(trees.high) + 1)
        self.tree_choices = trees
        self.drawn: list[tuple[optuna.Trial, tuple]] = []
        self.results: dict[tuple, Any] = {}
        self.n_told = self.n_repeated = 0

    def __str__(self) -> str:
        trees = f"{max(self.tree_choices):,}"
        return f"{self.sampler:6} trials: {self.n_configs:,}, each of up to {trees} trees"

    @property
    def n_open(self) -> int:
        """Trials without a result, drawn or not."""
        return self.total - self.done

    @property
    def done(self) -> int:
        """Trials that have a result."""
        return len(self.results)

    def start(self, cached: Callable[[Config], Any]) -> int:
        """Use the cached result of a configuration when it is drawn; returns the number of fits."""
        self.cached = cached
        return self.n_configs

    def fits(self, max_in_flight: int) -> Iterator[list[Config] | None]:
        """The next fit, of one configuration; None while a result must be waited for."""
        for number in range(self.n_configs):
            while not self._tell_optuna(number + 1 - max_in_flight):
                yield None
            trial = self.study.ask()
            config = {p.name: self._draw(trial, p) for p in HYPERPARAMETERS}
            key = space.config_key(config)
            again = key in (drawn for _, drawn in self.drawn)
            self.drawn.append((trial, key))
            if again:
                self.total -= 1
                self.n_repeated += 1
            elif result := self.cached(config):
                self.tell(result)
            else:
                yield [config]

    def _draw(self, trial: optuna.Trial, p: Hyperparameter) -> Any:
        values = self.search_space[p.name]
        if p.name == "n_estimators":
            return max(self.tree_choices)
        if not isinstance(values, Range):
            return trial.suggest_categorical(p.name, values)
        log = p.log and values.low > 0
        if isinstance(p.default, int):
            return trial.suggest_int(p.name, int(values.low), int(values.high), log=log)
        drawn = trial.suggest_float(p.name, values.low, values.high, log=log)
        return min(max(float(f"{drawn:.4g}"), values.low), values.high)  # four significant digits

    def _tell_optuna(self, n_trials: int) -> bool:
        """Tell Optuna the first ``n_trials`` results; False where one of them is not there yet."""
        while self.n_told < n_trials:
            trial, key = self.drawn[self.n_told]
            if key not in self.results:
                return False
            result = self.results[key]
            if result.error:
                self.study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                sign = SEARCH_METRICS[self.metric]
                self.study.tell(trial, sign * result.metrics[self.metric])
            self.n_told += 1
        return True

    def tell(self, result: Any) -> None:
        """Take note of a ``trials.TrialResult``."""
        drawn = result.config | {"n_estimators": max(self.tree_choices)}
        self.results[space.config_key(drawn)] = result
