"""Points of a grid judged on validation rows: many fits at a time, one fit for many points."""

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

from census import evaluation, grid, model
from census.grid import Point

# Fits ask for Python's lock every round; they must not wait 5 ms for the thread that writes.
SWITCH_SECONDS = 0.0002
PATIENCE = 50  # rounds without a lower log loss after which a trial grows no more trees


@dataclass
class Outcome:
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

    point: Point
    metrics: dict[str, float] = field(default_factory=dict)
    curve: np.ndarray | None = None
    error: str | None = None
    run_id: str = ""
    source: str = "computed"


def split_of_cores(n_fits: int, workers: int | None, device: str) -> tuple[int, int]:
    """How many fits at a time, and how many threads each.

    A fit of this table gains less from a second thread than a second fit does, so there are as
    many workers as cores or fits. A GPU takes one fit at a time.

    Args:
        workers: how many the user wants; None leaves it open.
    """
    cores = joblib.cpu_count()
    workers = min(n_fits, workers or (1 if device == "cuda" else cores))
    return workers, max(1, cores // workers)


def judged(
    fits: Iterator[list[Point] | None],
    ahead: int,
    folds: list[tuple],
    workers: int,
    begin: Callable[[list[Point]], None],
    trees: Sequence[int] | None = None,
    **settings,
) -> Iterator[Outcome]:
    """Fit and judge; outcomes as they come, a point's as soon as its trees are grown.

    Args:
        fits: shared fits, as ``grid.shared_fits`` gives them; None: the next one depends on an
            outcome that is not there yet.
        ahead: so many fits may be under way or wait for a worker.
        folds: binned rows to train on and to validate on, as ``model.matrices`` gives them.
        workers: fits at a time. They share the binned rows and the process: XGBoost does not
            hold Python's lock while it trains.
        begin: is told of a shared fit when its work starts.
        trees: judge the one point of each fit at the best of these numbers of trees instead.
        settings: for ``model.fit``.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    news, stop, found, judge = SimpleQueue(), threading.Event(), {}, _judge
    if trees:
        judge = partial(_grow, least=min(trees))
    pool, open_fits, number = ThreadPoolExecutor(workers), {}, 0
    try:
        while True:
            while len(open_fits) < ahead and (fit := next(fits, None)):
                number += 1
                open_fits[number] = fit, {point["n_estimators"] for point in fit}
                for fold, matrices in enumerate(folds):
                    tell = partial(_tell, news, number, fold)
                    pool.submit(judge, fit, matrices, tell, stop, settings)
            if not open_fits:
                return
            told, fold, n_trees, result = news.get()
            fit, waiting = open_fits[told]
            of_point = found.setdefault((told, n_trees), {})
            of_point[fold] = result
            if not n_trees:
                if len(of_point) == 1:
                    begin(fit)
            elif len(of_point) == len(folds):
                waiting.remove(n_trees)
                if not waiting:
                    del open_fits[told]
                point = next(p for p in fit if p["n_estimators"] == n_trees)
                yield _outcome(point, [of_point[fold] for fold in range(len(folds))], trees)
                of_point.clear()
    finally:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)


def _tell(news: SimpleQueue, number: int, fold: int, n_trees: int, result) -> None:
    news.put((number, fold, n_trees, result))


def _judge(
    fit: list[Point], matrices: tuple, tell: Callable, stop: threading.Event, settings: dict
) -> None:
    """Tell of the beginning of a shared fit on one fold, and of each of its points.

    A point is judged when the fit has as many trees as it asks for: XGBoost keeps the predictions
    of the validation rows up to date for the curve, so they cost nothing then.
    """
    tell(0, None)
    train, validation = matrices
    y, waiting = validation.get_label(), {point["n_estimators"] for point in fit}

    def after_round(booster, curves) -> bool:
        curve = curves["validation"]
        if (n_trees := len(curve)) in waiting:
            scores = evaluation.core_scores(y, booster.predict(validation))
            # the same but for rounding: one number, one value
            tell(n_trees, (scores, np.array([*curve[:-1], scores["log_loss"]])))
            waiting.remove(n_trees)
        return stop.is_set()

    try:
        follow = {"validation": validation}
        model.fit(fit[-1], train, follow=follow, after_round=after_round, **settings)
    except Exception as error:
        for n_trees in waiting:
            tell(n_trees, error)


def _grow(
    fit: list[Point], matrices: tuple, tell: Callable, stop: threading.Event, settings: dict, least
) -> None:
    """Grow the trees of a trial on one fold, until they no longer help, and tell of them all."""
    tell(0, None)
    (point,), (train, validation) = fit, matrices
    lowest, lowest_at = np.inf, 0

    def after_round(booster, curves) -> bool:
        nonlocal lowest, lowest_at
        n_trees, value = len(curves["validation"]), curves["validation"][-1]
        if value < lowest:
            lowest, lowest_at = value, n_trees
        return stop.is_set() or (n_trees >= least and n_trees - lowest_at >= PATIENCE)

    try:
        follow = {"validation": validation}
        grown = model.fit(point, train, follow=follow, after_round=after_round, **settings)
        tell(point["n_estimators"], (*grown, validation))
    except Exception as error:
        tell(point["n_estimators"], error)


def _at_best(point: Point, folds: list, trees: Sequence[int]) -> tuple[Point, list]:
    """A trial with the number of trees that has the least log loss, a mean over the folds."""
    curves = [curves["validation"] for _, curves, _ in folds]
    mean = np.mean([curve[: min(map(len, curves))] for curve in curves], axis=0)
    best = min((n for n in trees if n <= len(mean)), key=lambda n: (mean[n - 1], n))
    judged = []
    for booster, curves, validation in folds:
        probability = booster.predict(validation, iteration_range=(0, best))
        scores = evaluation.core_scores(validation.get_label(), probability)
        curve = curves["validation"][: best - 1]
        judged.append((scores, np.array([*curve, scores["log_loss"]])))
    return point | {"n_estimators": best}, judged


def _outcome(point: Point, folds: list, trees: Sequence[int] | None) -> Outcome:
    for error in folds:
        if isinstance(error, Exception):
            return Outcome(point, error=" ".join(f"{type(error).__name__}: {error}".split()))
    if trees:
        point, folds = _at_best(point, folds, trees)
    return Outcome(point, *_over_folds(folds))


def _over_folds(found) -> tuple[dict[str, float], np.ndarray]:
    """Means over the folds and, of more than one, sample standard deviations."""
    scores = pd.DataFrame([scores for scores, _ in found])
    metrics = scores.mean().to_dict()
    if len(found) > 1:
        metrics |= scores.std().add_suffix("_std").to_dict()
    return metrics, np.mean([curve for _, curve in found], axis=0)


def constant(y: np.ndarray, parts: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """Metrics of the best answer that looks at no column: the training rows' share of label 1."""
    found = [
        (evaluation.core_scores(y[held_out], np.full(len(held_out), y[train].mean())), np.empty(0))
        for train, held_out in parts
    ]
    return _over_folds(found)[0]


def ranked(outcomes: list[Outcome], metric: str) -> list[Outcome]:
    """Best first, those that failed last."""
    done = [o for o in outcomes if not o.error]
    done.sort(key=lambda o: grid.preference(o.point, o.metrics[metric], metric))
    return done + [o for o in outcomes if o.error]


def leaderboard(outcomes: list[Outcome], baseline: dict[str, float], metric: str) -> pd.DataFrame:
    """One line a point, in the order of ``outcomes``, and the constant answer where it belongs."""
    lines = [
        {"source": o.source, **o.point, **o.metrics, "run_id": o.run_id, "error": o.error or ""}
        for o in outcomes
    ]
    worth = grid.METRICS[metric] * baseline[metric]
    better = sum(
        not o.error and grid.METRICS[metric] * o.metrics[metric] <= worth for o in outcomes
    )
    lines.insert(better, {"source": "constant", **baseline, "run_id": "", "error": ""})
    names = [*outcomes[0].point, *baseline]
    frame = pd.DataFrame(lines)[["source", *names, "run_id", "error"]]
    whole = [name for name, value in outcomes[0].point.items() if isinstance(value, int)]
    frame = frame.astype(dict.fromkeys(whole, "Int64"))  # the constant answer has none
    return frame.rename(columns={name: f"validation_{name}" for name in baseline})
