"""Trials: configurations that share a fit are fitted once and evaluated on validation rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd
import xgboost

from tabular.data.dataset import Dataset
from tabular.evaluation.metrics import search_metrics
from tabular.model import boosting
from tabular.sweep.space import Config

MAX_BINNINGS = 4  # of the training rows that are kept, if the trials differ in max_bin
PATIENCE_ROUNDS = 30  # a trial of random or tpe stops after this many rounds without a gain

Matrices = tuple[xgboost.QuantileDMatrix, xgboost.DMatrix]  # rows to train on, rows to validate on


class Scores(NamedTuple):
    """What a booster gave on the validation rows of one fold.

    Attributes:
        metrics: by name.
        curve: log loss after each round, (n_estimators,).
        y_true, probability: labels and predicted probabilities, each (n_samples,).
    """

    metrics: dict[str, float]
    curve: np.ndarray
    y_true: np.ndarray
    probability: np.ndarray


class Stopped(Exception):
    """A fit was stopped before it was complete."""


@dataclass(frozen=True)
class SweepSpec:
    """What all trials of a sweep have in common.

    Attributes:
        folds: 1 for one hold-out split, k for k-fold cross-validation.
        tree_choices: each trial is evaluated at the best of these numbers of trees; None: at its
            own ``n_estimators``.
        repeat: 0: trials of the search; n: the n-th repetition of its best configuration.
    """

    dataset: Dataset
    device: str
    seed: int
    folds: int
    tree_choices: Sequence[int] | None = None
    repeat: int = 0

    def matrices(self, max_bin: int) -> list[Matrices]:
        """The binned rows to train on and the rows to validate on, of each fold."""
        train = self.dataset.train
        indices = boosting.validation_splits(train.y, self.seed, self.folds)
        return [boosting.split_matrices(train, pair, max_bin) for pair in indices]


def cached_matrices(
    spec: SweepSpec, max_bin: int, cache: dict[int, list[Matrices]]
) -> list[Matrices]:
    """The matrices of a number of bins, from a cache that keeps those of the last few numbers."""
    if max_bin not in cache:
        if len(cache) == MAX_BINNINGS:
            del cache[next(iter(cache))]
        cache[max_bin] = spec.matrices(max_bin)
    return cache[max_bin]


@dataclass
class TrialResult:
    """The result of one configuration.

    Attributes:
        metrics: of the validation rows, by name; with k folds their means, and the standard
            deviations as ``<name>_std``.
        curve: log loss after each round, (n_estimators,), a mean with k folds; None where another
            sweep computed it.
        validation: labels of the validation rows of all folds and the probabilities predicted for
            them, each (n_samples,); a search keeps those of its best result only.
        error: why there is no result.
        run_id: of the child run that holds it.
        source: computed, adopted (from a sweep that did not finish) or reused.
    """

    config: Config
    metrics: dict[str, float] = field(default_factory=dict)
    curve: np.ndarray | None = None
    validation: tuple[np.ndarray, np.ndarray] | None = None
    error: str | None = None
    run_id: str = ""
    source: str = "computed"


@dataclass
class FoldResult:
    """What a shared fit gave on one fold.

    Attributes:
        scores: by number of trees.
        grown: the booster, its curve and the validation rows, where the number of trees is yet to
            be chosen.
        error: why some scores are missing; ``Stopped`` if nothing failed.
    """

    scores: dict[int, Scores] = field(default_factory=dict)
    grown: tuple[xgboost.Booster, list[float], xgboost.DMatrix] | None = None
    error: Exception | None = None


def run_shared_fit(
    spec: SweepSpec,
    folds: list[Matrices],
    configs: list[Config],
    run_ids: list[str],
    n_jobs: int | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[TrialResult]:
    """Fit configurations that differ only in ``n_estimators`` on each fold, and evaluate them.

    Args:
        folds: as ``SweepSpec.matrices`` returns them.
        configs: as ``space.shared_fits`` groups them, the fewest trees first.
        run_ids: of the child runs, one for each configuration.
        n_jobs: threads of a fit; None takes all cores.
        should_stop: is asked after each round.

    Raises:
        Stopped: ``should_stop`` returned True.
    """
    fitted = [fit_fold(spec, matrices, configs, n_jobs, should_stop) for matrices in folds]
    if should_stop():
        raise Stopped
    return combine_folds(spec, configs, run_ids, fitted)


def fit_fold(
    spec: SweepSpec,
    matrices: Matrices,
    configs: list[Config],
    n_jobs: int | None,
    should_stop: Callable[[], bool],
) -> FoldResult:
    """Fit the configuration with the most trees on one fold; arguments as of ``run_shared_fit``.

    A fit that is stopped keeps the scores of the prefixes that it has completed.
    """
    train, validation = matrices
    result = FoldResult()
    if should_stop():  # while the fit was queued
        result.error = Stopped()
        return result
    if spec.tree_choices:
        callback = _stop_without_gain(spec.tree_choices, should_stop)
    else:
        wanted = {config["n_estimators"] for config in configs}
        callback = _evaluate_at(wanted, validation, result.scores, should_stop)
    try:
        booster, curve = boosting.fit(
            configs[-1],
            train,
            eval_set=validation,
            seed=spec.seed,
            device=spec.device,
            n_jobs=n_jobs,
            after_round=callback,
        )
        if spec.tree_choices:
            result.grown = booster, [*curve.values()], validation
    except Exception as error:  # one configuration that fails must not end the sweep
        result.error = error
    if should_stop():
        result.grown, result.error = None, result.error or Stopped()
    return result


def _evaluate_at(
    wanted: set, validation: xgboost.DMatrix, scores: dict[int, Scores], should_stop: Callable
) -> Callable:
    """A callback that evaluates the booster whenever it has one of the wanted numbers of trees.

    XGBoost keeps the predictions of the validation rows up to date for the curve, so that they cost
    nothing at that moment.
    """
    y_true = validation.get_label()

    def after_round(booster: xgboost.Booster, curve: list[float]) -> bool:
        if (n_trees := len(curve)) in wanted:
            scores[n_trees] = _score(curve, y_true, booster.predict(validation))
        return should_stop()

    return after_round


def _score(curve: list[float], y_true: np.ndarray, probability: np.ndarray) -> Scores:
    """The scores of predictions, whose log loss becomes the last value of the curve.

    They are equal but for rounding: one number has one value.
    """
    values = search_metrics(y_true, probability)
    return Scores(values, np.array([*curve[:-1], values["log_loss"]]), y_true, probability)


def _stop_without_gain(tree_choices: Sequence[int], should_stop: Callable) -> Callable:
    """A callback that ends a fit ``PATIENCE_ROUNDS`` after its lowest log loss.

    Args:
        tree_choices: the numbers of trees that may be chosen. No fit ends before the first of them
            from its lowest log loss on, which may be better than the one before it.
    """
    lowest, lowest_at = np.inf, 0

    def after_round(booster: xgboost.Booster, curve: list[float]) -> bool:
        nonlocal lowest, lowest_at
        n_trees, value = len(curve), curve[-1]
        if value < lowest:
            lowest, lowest_at = value, n_trees
        if should_stop():
            return True
        is_patient = n_trees - lowest_at >= PATIENCE_ROUNDS
        return is_patient and any(lowest_at <= choice <= n_trees for choice in tree_choices)

    return after_round


def combine_folds(
    spec: SweepSpec, configs: list[Config], run_ids: list[str], folds: list[FoldResult]
) -> list[TrialResult]:
    """The results of the configurations of a shared fit, from its results on all folds.

    A configuration whose fit was stopped too early has none.
    """
    results = [
        _combine(spec, config, run_id, folds)
        for config, run_id in zip(configs, run_ids, strict=True)
    ]
    return [result for result in results if result]


def _combine(
    spec: SweepSpec, config: Config, run_id: str, folds: list[FoldResult]
) -> TrialResult | None:
    for fold in folds:
        if fold.error and config["n_estimators"] not in fold.scores:
            if isinstance(fold.error, Stopped):
                return None
            line = " ".join(f"{type(fold.error).__name__}: {fold.error}".split())
            return TrialResult(config, error=line, run_id=run_id)
    if spec.tree_choices:
        config, scores = _at_best_trees(config, folds, spec.tree_choices)
    else:
        scores = [fold.scores[config["n_estimators"]] for fold in folds]
    metrics = average_metrics([fold.metrics for fold in scores])
    curve = np.mean([fold.curve for fold in scores], axis=0)
    y_true, probability = (
        np.concatenate([getattr(fold, name) for fold in scores])
        for name in ("y_true", "probability")
    )
    return TrialResult(config, metrics, curve, (y_true, probability), run_id=run_id)


def _at_best_trees(
    config: Config, folds: list[FoldResult], tree_choices: Sequence[int]
) -> tuple[Config, list[Scores]]:
    """The configuration with the number of trees of the lowest mean log loss, and its scores."""
    grown = [fold.grown for fold in folds if fold.grown]
    n_rounds = min(len(curve) for _, curve, _ in grown)
    mean = np.mean([curve[:n_rounds] for _, curve, _ in grown], axis=0)
    best = min((n for n in tree_choices if n <= n_rounds), key=lambda n: (mean[n - 1], n))
    scores = []
    for booster, curve, validation in grown:
        probability = booster.predict(validation, iteration_range=(0, best))
        scores.append(_score(curve[:best], validation.get_label(), probability))
    return config | {"n_estimators": best}, scores


def average_metrics(folds: list[dict[str, float]]) -> dict[str, float]:
    """Means over the folds and, of more than one fold, sample standard deviations."""
    values = pd.DataFrame(folds)
    metrics = values.mean().to_dict()
    if len(folds) > 1:
        metrics |= values.std().add_suffix("_std").to_dict()
    return metrics
