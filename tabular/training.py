"""Train one model on one configuration: load the dataset, fit, evaluate, log."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import joblib
import numpy as np
import pandas as pd
import xgboost
from mlflow.entities import Run
from mlflow.models.model import ModelInfo

from tabular import cancel, model_card, reporting
from tabular.data import sources
from tabular.data.dataset import Dataset
from tabular.evaluation import (
    bootstrap,
    diagnosis,
    drift,
    fairness,
    metrics,
    plot_style,
    plots,
    shap,
    thresholds,
)
from tabular.evaluation.thresholds import Threshold
from tabular.model import boosting, constraints
from tabular.model.hyperparameters import Config, config_name
from tabular.model.served import Encoder
from tabular.model.trainer import LocalTrainer, Trainer
from tabular.options import RunOptions, TrainOptions
from tabular.tracking import logged_model, model_files, opening, process, registry, runs

CHUNK_ROWS = 1 << 18  # test rows that are encoded at a time


@dataclass
class Fitted:
    """A booster fitted on the full training set, and what was measured on the way.

    Attributes:
        config: the hyper-parameters, as they were asked for.
        metrics: values by name.
        curves: log loss by round, counted from 1, by the metric's name.
        validation: labels of the validation rows and the probabilities predicted for them by a
            booster that was fitted without them, each (n_samples,); None without a validation set.
        findings: of the checks; ``evaluate_and_log`` adds those of the model and of the data.
        threshold: of the model.
        threshold_note: what it costs and gains; ``evaluate_and_log`` fills it in.
        columns: the distribution of each feature in the training rows.
    """

    booster: xgboost.Booster
    config: Config
    metrics: dict[str, float] = field(default_factory=dict)
    curves: dict[str, dict[int, float]] = field(default_factory=dict)
    validation: tuple[np.ndarray, np.ndarray] | None = None
    findings: list[diagnosis.Finding] = field(default_factory=list)
    threshold: Threshold = thresholds.DEFAULT
    threshold_note: str = ""
    columns: list[drift.ColumnProfile] = field(default_factory=list)


@dataclass
class Evaluation:
    """A booster evaluated on the test set.

    Attributes:
        probability: of the positive label, (n_samples,).
        metrics: values by name.
        tables: by the file's name.
        intervals: returns the ends of the metrics' intervals, by name.
    """

    probability: np.ndarray
    metrics: dict[str, float]
    tables: dict[str, pd.DataFrame]
    intervals: Callable[[], dict[str, float]]


def train(options: TrainOptions, trainer: Trainer) -> None:
    """Do all of ``train.py``: one run with a model, its metrics, plots and tables."""
    dataset = load_dataset(options, trainer)
    constraints.require_features(options.config, dataset.table)
    indices = []
    if options.early_stopping_rounds or options.threshold.value is None:
        indices = trainer.validation_splits(dataset.train, options.seed)
    reporting.announce(dataset)
    with runs.start_run(dataset.qualify(config_name(options.config))) as run:
        runs.log_setup(run, options.cli_args, dataset, options.device)
        fitted = fit(
            options.config,
            dataset,
            seed=options.seed,
            device=options.device,
            early_stopping_rounds=options.early_stopping_rounds,
            validation_indices=indices,
            trainer=trainer,
        )
        fitted.metrics |= trainer.metrics()
        fitted.threshold = thresholds.decide(options.threshold, fitted.validation)
        if curve := fitted.curves.get("validation_log_loss"):
            more_trees = diagnosis.check_trees(
                [*curve.values()], int(options.config["n_estimators"])
            )
            fitted.findings += [more_trees] if more_trees else []
        test_metrics = evaluate_and_log(run, fitted, dataset, options.register)
    reporting.report(run, dataset, test_metrics, fitted.findings, fitted.threshold_note)


def load_dataset(options: RunOptions, trainer: Trainer | None = None) -> Dataset:
    """The dataset, once everything else that the run needs has been checked.

    Args:
        trainer: who trains on the training rows; None: this process.

    Raises:
        UserError: store, data, device or the name of the registered model cannot be used.
    """
    trainer = trainer or LocalTrainer()
    opening.require_usable(make=False)  # an error of the data leaves no new store behind
    if options.register != "none":
        opening.require_registry()
    if isinstance(trainer, LocalTrainer):
        boosting.require_device(options.device)
    dataset = sources.load(options.data, options.request, read=trainer.read)
    if options.register != "none":
        registry.require_registrable(options.register, dataset)
    return dataset


def fit(
    config: Config,
    dataset: Dataset,
    *,
    seed: int,
    device: str,
    early_stopping_rounds: int = 0,
    validation_indices: Sequence = (),
    trainer: Trainer | None = None,
) -> Fitted:
    """Fit on the full training set; before that, once for each validation split without its rows.

    Args:
        early_stopping_rounds: with a number above 0, there is one validation split, and the number
            of trees with the lowest log loss on it is used for the final fit.
        validation_indices: as ``trainer.validation_splits`` returns them.
        trainer: None trains in this process.
    """
    trainer, split = trainer or LocalTrainer(), dataset.train
    fit_trees = partial(trainer.fit, seed=seed, device=device)
    start, validation = time.perf_counter(), []
    values: dict[str, float] = {}
    curves: dict[str, dict[int, float]] = {}
    for indices in validation_indices:
        train_matrix, eval_set = trainer.split_matrices(split, indices, config["max_bin"])
        booster, curve = fit_trees(
            config, train_matrix, eval_set=eval_set, early_stopping_rounds=early_stopping_rounds
        )
        n_trees = booster.num_boosted_rounds()
        if early_stopping_rounds:
            n_trees = booster.best_iteration + 1
            values["best_n_estimators"], curves["validation_log_loss"] = n_trees, curve
        validation.append(trainer.predict(booster, eval_set, n_trees))
    final = config | {"n_estimators": values.get("best_n_estimators", config["n_estimators"])}
    matrix = trainer.full_matrix(split, config["max_bin"])
    booster, curves["train_log_loss"] = fit_trees(final, matrix)
    values["fit_seconds"] = time.perf_counter() - start
    boosting.move_to_cpu(booster, device)
    boosting.set_labels(booster, dataset.table)
    fitted = Fitted(booster, config, values, curves)
    step = drift.sample_step(split.n_rows, len(dataset.table.features))
    rows = trainer.encode_sample(booster, split, step)
    fitted.columns = drift.profile_columns(rows, Encoder(booster))
    if validation:
        y_true, probability = zip(*validation, strict=True)
        fitted.validation = np.concatenate(y_true), np.concatenate(probability)
    return fitted


def evaluate(
    booster: xgboost.Booster, dataset: Dataset, threshold: Threshold = thresholds.DEFAULT
) -> Evaluation:
    """Predict the test set and compute metrics, intervals and tables."""
    X, y = dataset.test.X, dataset.test.y
    probability = _predict(booster, X)
    intervals = bootstrap.start_intervals(y, probability, threshold.value)
    tables = {
        "importance.csv": shap.importance_table(booster),
        "calibration.csv": metrics.reliability_table(y, probability),
    }
    predicted = metrics.is_positive(probability, threshold.value)
    groups = fairness.metric_frames(dataset.test.groups, dataset.table, y, predicted)
    if groups:
        tables["groups.csv"] = fairness.group_table(groups, dataset.table)
    values = metrics.classification_metrics(y, probability, threshold.value)
    values["expected_calibration_error"] = metrics.calibration_error(tables["calibration.csv"])
    if threshold.reason:
        tables["threshold.csv"] = thresholds.compare_with_default(y, probability, threshold.value)
        values["threshold"] = threshold.value
    return Evaluation(probability, values | fairness.disparities(groups), tables, intervals)


def _predict(booster: xgboost.Booster, X: pd.DataFrame) -> np.ndarray:
    """The predicted probabilities of raw rows, (n_samples,), which are encoded in chunks."""
    encode, found = Encoder(booster), []
    for start in range(0, len(X), CHUNK_ROWS):
        cancel.check()
        found.append(booster.inplace_predict(encode(X.iloc[start : start + CHUNK_ROWS])))
    return np.concatenate(found)


def evaluate_and_log(
    run: Run, fitted: Fitted, dataset: Dataset, register: str = "none", chosen: str = ""
) -> dict[str, float]:
    """Evaluate on the test set, once, and log model, plots, tables, metrics and the model's card.

    Args:
        register: registered model that gets a new version.
        chosen: Markdown that says how a search chose the configuration, for run and card.

    Returns:
        The test metrics by name.
    """
    booster, test = fitted.booster, dataset.test
    X = test.X.iloc[shap.sample_rows(booster, test.n_rows)]
    with _explain(booster, X) as explanation:
        evaluation = evaluate(booster, dataset, fitted.threshold)
        evaluation.tables["thresholds.csv"] = _threshold_table(fitted, test.y, evaluation)
        images = _draw(fitted, dataset, evaluation)
        info = _log_model(fitted, dataset, evaluation)
    values = explanation.values()
    table = evaluation.tables["shap.csv"] = shap.shap_table([*X], values)
    figure = plots.shap(X, values, table, dataset.table.positive, dataset.qualify(test.name))
    images["plots/shap.png"] = plot_style.png(figure)
    cancel.check()
    codes = _diagnose(fitted, dataset, evaluation)
    evaluation.metrics |= evaluation.intervals()
    costs = evaluation.tables.get("threshold.csv")
    fitted.threshold_note = thresholds.describe(fitted.threshold, costs)
    summary = reporting.summarize(
        dataset, evaluation.metrics, fitted.findings, fitted.threshold_note
    )
    parts = evaluation.metrics | fitted.metrics, evaluation.tables, summary, chosen
    card = model_card.write(info.model_uri, dataset, booster, fitted.config, *parts)
    model_files.add(info.model_id, logged_model.CARD, card)
    runs.log_artifacts(run, images | {logged_model.CARD: card.encode()}, evaluation.tables)
    other = fitted.metrics | {"peak_memory_mb": process.peak_memory_mb()}
    runs.log_results(run, info.model_id, evaluation.metrics, dataset, other, fitted.curves)
    tags = {logged_model.DIGEST: logged_model.model_digest(booster), runs.DIAGNOSIS: codes}
    runs.log_tags(run, tags | {runs.DESCRIPTION: reporting.describe(run, summary) + chosen})
    cancel.check()
    if register != "none":  # last: a version stands for a run that is complete
        registry.register(info.model_uri, register, card)
    return evaluation.metrics


def _log_model(fitted: Fitted, dataset: Dataset, evaluation: Evaluation) -> ModelInfo:
    """Log the model with all that travels in it but its card."""
    return logged_model.log_model(
        fitted.booster,
        logged_model.to_client_frame(dataset.test.X.head(5)),
        {name: str(value) for name, value in fitted.config.items()},
        dataset.table,
        fitted.threshold.value,
        drift.Profile.make(fitted.columns, evaluation.probability, fitted.threshold.value),
    )


def _diagnose(fitted: Fitted, dataset: Dataset, evaluation: Evaluation) -> str:
    """Add what the checks of model and data find; returns the codes of all findings."""
    *_, train_log_loss = fitted.curves["train_log_loss"].values()
    fitted.findings[:0] = diagnosis.diagnose(
        dataset,
        evaluation.probability,
        evaluation.metrics,
        evaluation.tables,
        train_log_loss,
        fitted.validation,
    )
    codes, evaluation.tables["diagnosis.csv"] = diagnosis.summarize(fitted.findings)
    return codes


@contextmanager
def _explain(booster: xgboost.Booster, X: pd.DataFrame) -> Iterator[shap.Explanation]:
    """Compute SHAP values while the body runs, and after it with this thread's help.

    They take long and do not hold Python's lock.
    """
    explanation = shap.Explanation(booster, Encoder(booster)(X))
    n_threads = max(1, joblib.cpu_count() - 1)
    with ThreadPoolExecutor(n_threads) as pool:
        futures = [pool.submit(explanation.compute) for _ in range(n_threads)]
        yield explanation
        explanation.compute()
        for future in futures:
            future.result()


def _threshold_table(fitted: Fitted, y_true: np.ndarray, evaluation: Evaluation) -> pd.DataFrame:
    """Metrics by threshold, on the validation rows where there are some."""
    if fitted.validation:
        return metrics.threshold_table(*fitted.validation).assign(rows="validation")
    table = metrics.threshold_table(y_true, evaluation.probability)
    return table.assign(rows="test, descriptive: not to choose by")


def _draw(fitted: Fitted, dataset: Dataset, evaluation: Evaluation) -> dict[str, bytes]:
    """All plots but that of the SHAP values, as PNG by the path of the artifact."""
    figures = plots.figures(
        dataset.test.y,
        evaluation.probability,
        evaluation.tables,
        fitted.curves,
        dataset.table,
        dataset.qualify(dataset.test.name),
        fitted.threshold.value,
    )
    if fitted.threshold.reason:
        rows = fitted.validation or (dataset.test.y, evaluation.probability)
        named = "validation rows" if fitted.validation else dataset.qualify(dataset.test.name)
        figures["plots/threshold.png"] = thresholds.plot(*rows, fitted.threshold.value, named)
    return {path: plot_style.png(figure) for path, figure in figures.items()}
