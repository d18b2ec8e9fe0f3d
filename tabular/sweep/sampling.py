"""Points drawn one after the other from lists and ranges, by Optuna: at random or by TPE."""

import warnings
from collections.abc import Callable, Iterator

import optuna

from tabular.model.hyperparameters import HYPERPARAMETERS, Hyperparameter, Range
from tabular.sweep import space
from tabular.sweep.space import Config


class OptunaSearch:
    """Trials of a study as work to do: each is one fit, and its best number of trees is found.

    A trial is drawn when all but ``ahead`` of those before it are told, in the order in which they
    were drawn, whichever ended first. So a study that starts again draws the same ones.

    Args:
        space: for each hyper-parameter the values, or the range of values, to draw from.
        sampler: random or tpe.
        n_trials: a configuration that is drawn again counts, and is not judged again.
    """

    def __init__(
        self, space: dict[str, tuple | Range], sampler: str, metric: str, seed: int, n_trials: int
    ):
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        samplers = optuna.samplers
        tpe = {"multivariate": True, "constant_liar": True, "seed": seed}
        chosen = samplers.RandomSampler(seed) if sampler == "random" else samplers.TPESampler(**tpe)
        self.study = optuna.create_study(sampler=chosen)
        self.space, self.sampler, self.metric = space, sampler, metric
        self.n_points = self.total = n_trials
        trees = space["n_estimators"]
        self.trees = range(trees.low, trees.high + 1) if isinstance(trees, Range) else trees
        self.drawn: list[tuple[optuna.Trial, tuple]] = []
        self.outcomes: dict[tuple, object] = {}
        self.n_told = 0

    def __str__(self) -> str:
        return (
            f"{self.sampler:6} trials: {self.n_points:,}, each of up to {max(self.trees):,} trees"
        )

    @property
    def done(self) -> int:
        """Trials that were heard of."""
        return len(self.outcomes)

    def start(self, known: Callable[[Config], object]) -> int:
        """Take what is known, when it is drawn, for judged; returns the number of fits."""
        self.known = known
        return self.n_points

    def fits(self, ahead: int) -> Iterator[list[Config] | None]:
        """The next fit; None where a result must be waited for."""
        for number in range(self.n_points):
            while not self._told(number + 1 - ahead):
                yield None
            trial = self.study.ask()
            point = {p.name: self._draw(trial, p) for p in HYPERPARAMETERS}
            again = space.config_key(point) in (key for _, key in self.drawn)
            self.drawn.append((trial, space.config_key(point)))
            if again:
                self.total -= 1
                continue
            if outcome := self.known(point):
                self.tell(outcome)
            else:
                yield [point]

    def _draw(self, trial: optuna.Trial, p: Hyperparameter) -> int | float:
        values = self.space[p.name]
        if p.name == "n_estimators":
            return max(self.trees)
        if not isinstance(values, Range):
            return trial.suggest_categorical(p.name, values)
        log = p.log and values.low > 0
        if isinstance(p.default, int):
            return trial.suggest_int(p.name, values.low, values.high, log=log)
        drawn = trial.suggest_float(p.name, values.low, values.high, log=log)
        return min(max(float(f"{drawn:.4g}"), values.low), values.high)  # digits one can type

    def _told(self, n_trials: int) -> bool:
        """Tell Optuna of the first trials, so many; False where one of them has no result yet."""
        while self.n_told < n_trials:
            trial, key = self.drawn[self.n_told]
            if key not in self.outcomes:
                return False
            outcome = self.outcomes[key]
            if outcome.error:
                self.study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                value = space.METRICS[self.metric] * outcome.metrics[self.metric]
                self.study.tell(trial, value)
            self.n_told += 1
        return True

    def tell(self, outcome) -> None:
        """Hear what a trial gave."""
        self.outcomes[space.config_key(outcome.point | {"n_estimators": max(self.trees)})] = outcome
