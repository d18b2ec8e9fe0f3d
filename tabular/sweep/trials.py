"""Points of a grid judged on validation rows: many fits at a time, one fit for many points."""

import math
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue

import joblib
import numpy as np
import pandas as pd

from tabular.evaluation import metrics
from tabular.model import boosting
from tabular.sweep import space
from tabular.sweep.space import Config

# Fits ask for Python's lock every round; they must not wait 5 ms for the thread that writes.
SWITCH_SECONDS = 0.0002
PATIENCE_ROUNDS = 30  # rounds without a lower log loss after which a trial grows no more trees


@dataclass
class TrialResult:
    """What a point gave, or why it gave nothing.

    Attributes:
        metrics: by name, of the validation rows; with k folds their means, and the standard
            deviations as ``<name>_std``.
        curve: log loss after each round, shape (n_estimators,), a mean with k folds; None where
            the point was computed by another sweep.
        error: why it failed.
        run_id: of the child run that holds it.
        source: ``computed``, ``adopted`` from a sweep that did not finish, or ``reused``.
    """

    point: Config
    metrics: dict[str, float] = field(default_factory=dict)
    curve: np.ndarray | None = None
    error: str | None = None
    run_id: str = ""
    source: str = "computed"


def allocate_cores(
    n_fits: int, workers: int | None, device: str, cores: int | None = None
) -> tuple[int, int]:
    """How many fits at a time, and how many threads each.

    A fit of this table gains less from a second thread than a second fit does, so there are as
    many workers as cores or fits. A GPU takes one fit at a time.

    Args:
        workers: how many the user wants; None leaves it open.
        cores: None: those of this machine.
    """
    cores = cores or joblib.cpu_count()
    workers = min(n_fits, workers or (1 if device == "cuda" else cores))
    return workers, max(1, cores // workers)


class _Fit:
    """A shared fit in hand: by number of trees its points not judged yet, their runs and results.

    The results of a point are those of each fold.
    """

    def __init__(self, points: list[Config]):
        self.waiting = {point["n_estimators"]: point for point in points}
        self.run_ids: dict[int, str] = {}
        self.results: dict[int, dict[int, object]] = {n_trees: {} for n_trees in self.waiting}


def judged(
    fits: Iterator[list[Config] | None],
    folds: list[tuple],
    workers: int,
    begin: Callable[[list[Config]], list[str]],
    ahead: float = math.inf,
    trees: Sequence[int] | None = None,
    stop: threading.Event | None = None,
    **settings,
) -> Iterator[TrialResult]:
    """Fit and judge; outcomes as they come, a point's as soon as its trees are grown.

    Args:
        fits: shared fits, as ``space.shared_fits`` gives them; None: the next one depends on an
            outcome that is not there yet.
        folds: binned rows to train on and to validate on, as ``split_matrices`` gives them.
        workers: fits at a time. They share the binned rows and the process: XGBoost does not
            hold Python's lock while it trains.
        begin: is told of a shared fit when its work starts; gives the run ids of its points.
        ahead: so many fits may be under way or wait for a worker.
        trees: judge the one point of each fit at the best of these numbers of trees instead.
        stop: ends all fits soon when it is set; what they had not judged failed.
        settings: for ``boosting.fit``.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    judge = partial(_grow, least=min(trees)) if trees else _judge
    news, stop, pool = SimpleQueue(), stop or threading.Event(), ThreadPoolExecutor(workers)
    in_hand = 0
    try:
        while True:
            while in_hand < ahead and (points := next(fits, None)):
                fit = _Fit(points)
                in_hand += 1
                for fold, matrices in enumerate(folds):
                    tell = partial(_tell, news, fit, fold)
                    pool.submit(judge, points, matrices, tell, stop, settings)
            if not in_hand:
                return
            fit, fold, n_trees, result = news.get()
            if not n_trees:
                if not fit.run_ids:
                    run_ids = begin([*fit.waiting.values()])
                    fit.run_ids = dict(zip(fit.waiting, run_ids, strict=True))
                continue
            fit.results[n_trees][fold] = result
            if len(fit.results[n_trees]) == len(folds):
                results = fit.results.pop(n_trees)
                point, run_id = fit.waiting.pop(n_trees), fit.run_ids[n_trees]
                in_hand -= not fit.waiting
                yield _outcome(point, [results[fold] for fold in range(len(folds))], run_id, trees)
    finally:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)


def _tell(news: SimpleQueue, fit: _Fit, fold: int, n_trees: int, result) -> None:
    news.put((fit, fold, n_trees, result))


def _judge(
    fit: list[Config], matrices: tuple, tell: Callable, stop: threading.Event, settings: dict
) -> None:
    """Tell of the beginning of a shared fit on one fold, and of each of its points.

    A point is judged when the fit has as many trees as it asks for: XGBoost keeps the predictions
    of the validation rows up to date for the curve, so they cost nothing then.
    """
    tell(0, None)
    train, validation = matrices
    y, waiting = validation.get_label(), {point["n_estimators"] for point in fit}

    def after_round(booster, curve) -> bool:
        if (n_trees := len(curve)) in waiting:
            scores = metrics.search_metrics(y, booster.predict(validation))
            # the same but for rounding: one number, one value
            tell(n_trees, (scores, np.array([*curve[:-1], scores["log_loss"]])))
            waiting.remove(n_trees)
        return stop.is_set()

    try:
        boosting.fit(fit[-1], train, follow=validation, after_round=after_round, **settings)
        if stop.is_set():
            raise InterruptedError
    except Exception as error:
        for n_trees in waiting:
            tell(n_trees, error)


def _grow(
    fit: list[Config], matrices: tuple, tell: Callable, stop: threading.Event, settings: dict, least
) -> None:
    """Grow the trees of a trial on one fold, until they no longer help, and tell of them all."""
    tell(0, None)
    (point,), (train, validation) = fit, matrices
    lowest, lowest_at = np.inf, 0

    def after_round(booster, curve) -> bool:
        nonlocal lowest, lowest_at
        n_trees, value = len(curve), curve[-1]
        if value < lowest:
            lowest, lowest_at = value, n_trees
        return stop.is_set() or (n_trees >= least and n_trees - lowest_at >= PATIENCE_ROUNDS)

    try:
        grown = boosting.fit(point, train, follow=validation, after_round=after_round, **settings)
        if stop.is_set():
            raise InterruptedError
        tell(point["n_estimators"], (*grown, validation))
    except Exception as error:
        tell(point["n_estimators"], error)


def _at_best(point: Config, folds: list, trees: Sequence[int]) -> tuple[Config, list]:
    """A trial with the number of trees that has the least log loss, a mean over the folds."""
    curves = [curve for _, curve, _ in folds]
    mean = np.mean([curve[: min(map(len, curves))] for curve in curves], axis=0)
    best = min((n for n in trees if n <= len(mean)), key=lambda n: (mean[n - 1], n))
    judged = []
    for booster, curve, validation in folds:
        probability = booster.predict(validation, iteration_range=(0, best))
        scores = metrics.search_metrics(validation.get_label(), probability)
        judged.append((scores, np.array([*curve[: best - 1], scores["log_loss"]])))
    return point | {"n_estimators": best}, judged


def _outcome(point: Config, folds: list, run_id: str, trees: Sequence[int] | None) -> TrialResult:
    for error in folds:
        if isinstance(error, Exception):
            line = " ".join(f"{type(error).__name__}: {error}".split())
            return TrialResult(point, error=line, run_id=run_id)
    if trees:
        point, folds = _at_best(point, folds, trees)
    return TrialResult(point, *_over_folds(folds), run_id=run_id)


def _over_folds(found) -> tuple[dict[str, float], np.ndarray]:
    """Means over the folds and, of more than one, sample standard deviations."""
    scores = pd.DataFrame([scores for scores, _ in found])
    metrics = scores.mean().to_dict()
    if len(found) > 1:
        metrics |= scores.std().add_suffix("_std").to_dict()
    return metrics, np.mean([curve for _, curve in found], axis=0)


def baseline_metrics(y: np.ndarray, parts: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """Metrics of the best answer that looks at no column: the training rows' share of label 1."""
    found = [
        (metrics.search_metrics(y[held_out], np.full(len(held_out), y[train].mean())), np.empty(0))
        for train, held_out in parts
    ]
    return _over_folds(found)[0]


def rank(outcomes: list[TrialResult], metric: str) -> list[TrialResult]:
    """Best first, those that failed last."""
    done = [o for o in outcomes if not o.error]
    done.sort(key=lambda o: space.rank_key(o.point, o.metrics[metric], metric))
    return done + [o for o in outcomes if o.error]


def results_table(
    outcomes: list[TrialResult], baseline: dict[str, float], metric: str
) -> pd.DataFrame:
    """One line a point, in the order of ``outcomes``, and the constant answer where it belongs."""
    lines = [
        {"source": o.source, **o.point, **o.metrics, "run_id": o.run_id, "error": o.error or ""}
        for o in outcomes
    ]
    lines.append({"source": "constant", **baseline, "run_id": "", "error": ""})
    names = [*outcomes[0].point, *baseline]
    frame = pd.DataFrame(lines)[["source", *names, "run_id", "error"]]
    frame = frame.sort_values(
        metric, ascending=space.METRICS[metric] > 0, kind="stable", ignore_index=True
    )
    whole = [name for name, value in outcomes[0].point.items() if isinstance(value, int)]
    frame = frame.astype(dict.fromkeys(whole, "Int64"))  # the constant answer has none
    return frame.rename(columns={name: f"validation_{name}" for name in baseline})
