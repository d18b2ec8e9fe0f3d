"""Points of a grid judged on validation rows: many fits at a time, one fit for many points."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

import joblib
import numpy as np
import pandas as pd

from census import evaluation, grid, model
from census.grid import Point


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
    fits: list[list[Point]],
    folds: list[tuple],
    workers: int,
    begin: Callable[[list[Point]], None],
    **settings,
) -> Iterator[list[Outcome]]:
    """Fit and judge; the outcomes of one shared fit at a time, as they come.

    Args:
        fits: as ``grid.shared_fits`` gives them.
        folds: binned rows to train on and to validate on, as ``model.matrices`` gives them.
        workers: fits at a time. They share the binned rows and the process: XGBoost does not
            hold Python's lock while it trains.
        begin: is told of a shared fit before its work starts.
        settings: for ``model.fit``.
    """
    stop, waiting, tasks, working = threading.Event(), iter(fits), {}, {}
    pool = ThreadPoolExecutor(workers)
    try:
        while True:
            # one more than can run, so that none waits for what the caller does with an outcome
            while len(working) <= workers and (fit := next(waiting, None)):
                begin(fit)
                own = [pool.submit(_judge, fit, *fold, stop=stop, **settings) for fold in folds]
                tasks |= dict.fromkeys(own, id(fit))
                working[id(fit)] = fit, own
            if not working:
                return
            done, _ = wait(tasks, return_when=FIRST_COMPLETED)
            for key in {tasks.pop(task) for task in done} & working.keys():
                fit, own = working[key]
                if all(task.done() for task in own):
                    del working[key]
                    yield _outcomes(fit, own)
    finally:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)


def _judge(fit: list[Point], train, validation, **settings) -> list[tuple[dict, np.ndarray]]:
    """Metrics and curve of each point of a shared fit, on one fold: a prefix of its trees."""
    booster, curves = model.fit(fit[-1], train, follow={"validation": validation}, **settings)
    y, found = validation.get_label(), []
    for n_trees in (point["n_estimators"] for point in fit):
        probability = booster.predict(validation, iteration_range=(0, n_trees))
        scores = evaluation.core_scores(y, probability)
        curve = np.array(curves["validation"][:n_trees])
        curve[-1] = scores["log_loss"]  # the same but for rounding; one number, one value
        found.append((scores, curve))
    return found


def _outcomes(fit: list[Point], tasks: list) -> list[Outcome]:
    try:
        folds = [task.result() for task in tasks]
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return [Outcome(point, error=reason) for point in fit]
    by_point = zip(*folds, strict=True)
    return [Outcome(point, *_over_folds(of)) for point, of in zip(fit, by_point, strict=True)]


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
    return frame.rename(columns={name: f"validation_{name}" for name in baseline})
