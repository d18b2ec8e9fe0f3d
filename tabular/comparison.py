"""Compare two models on the same test rows: metrics, groups, single rows, and how they were made.

Every difference is that of model b minus that of model a.
"""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
from mlflow.entities import Run

from tabular import cancel, comparison_report, reporting
from tabular.comparison_report import Report
from tabular.data import sources
from tabular.data.dataset import Dataset, Split
from tabular.data.table import Table
from tabular.errors import UserError, one_line
from tabular.evaluation import paired, paired_plots, plot_style
from tabular.evaluation.metrics import is_positive
from tabular.model.constraints import unquote
from tabular.model.hyperparameters import HYPERPARAMETERS
from tabular.sweep import child_runs
from tabular.tracking import datasets, logged_model, opening, orphans, registry, runs, store
from tabular.tracking.registry import LoggedModel

RUN_ID = re.compile(r"[0-9a-f]{32}")
MAX_ROWS = 100  # of the table of disagreements
SHOWN_COLUMNS = 5  # of each table, in an error message


@dataclass(frozen=True)
class Compared:
    """One of the two models.

    Attributes:
        option: a or b.
        run: that logged the model.
        table: that the model was trained on.
    """

    option: str
    model: LoggedModel
    run: Run
    table: Table

    @property
    def name(self) -> str:
        """The name of the run."""
        return self.run.info.run_name or self.run.info.run_id

    @property
    def threshold(self) -> float:
        """The threshold of the model."""
        return self.model.threshold

    @property
    def digest(self) -> str:
        """The digest of the rows that the model was trained and evaluated on."""
        return self.model.tags["data.digest"]


def compare(a: str, b: str, cli_args: dict[str, str]) -> None:
    """Do all of ``compare.py``: arguments are its options.

    Raises:
        UserError: there is no such model, or the two do not have the same test rows.
        WorkFailed: a run has lost the record of its table.
    """
    opening.require_usable()
    first, second = _find("a", a), _find("b", b)
    _require_same_rows(first, second)
    dataset, test_of_b = _load(first, second)
    reporting.announce(dataset)
    with runs.start_run(f"compare {first.name} {second.name}") as run:
        runs.log_params(run, cli_args)
        _log_setup(run, first, second, dataset)
        of_a = registry.predict(first.model, dataset.test)
        of_b = registry.predict(second.model, test_of_b)
        report = _report(first, second, dataset, (of_a, of_b))
        report.tables["disagreements.csv"] = _disagreements(
            dataset, test_of_b, of_a, of_b, report.thresholds
        )
        _log_results(run, report, (of_a, of_b))
    comparison_report.print_report(run, report)


def _find(option: str, address: str) -> Compared:
    """The model at an address, or of the run of that id."""
    if RUN_ID.fullmatch(address):
        found = store.find_run(address)
        if found and child_runs.CONFIG in found.data.tags:
            parent = found.data.tags.get(orphans.PARENT)
            raise UserError(
                f"{option}: run {address} is a child run of a sweep, which has no model: name the "
                f"run of the sweep, {parent}, or train this configuration with train.py"
            )
        address = f"runs:/{address}/{logged_model.MODEL_NAME}"
    if registry.is_registered(address):
        opening.require_registry(writes=False)
    model = registry.find_model(address, option)
    run = registry.require_run(model, option, "compare models that were trained in this store")
    return Compared(option, model, run, runs.recorded_table(run))


def _require_same_rows(a: Compared, b: Compared) -> None:
    """Raise ``UserError`` unless both models are of one label and have the same test rows."""
    texts = {
        name: (getattr(a.table, name), getattr(b.table, name)) for name in ("label", "positive")
    }
    if not _have_same_test_rows(a, b):
        texts["data.digest"] = a.digest[:8], b.digest[:8]
        known = [{**c.table.schema.columns, **c.table.left_out} for c in (a, b)]
        only = [_list_columns(known[i], known[1 - i]) for i in (0, 1)]
        texts["columns that the other does not have"] = only[0], only[1]
    found = [
        f"{name} {one_line(of_a)[:200]!r} and {one_line(of_b)[:200]!r}"
        for name, (of_a, of_b) in texts.items()
        if of_a != of_b
    ]
    if found:
        raise UserError(
            "b: expected a model with the label and the test rows of a, got for a and b: "
            + "; ".join(found)
        )


def _list_columns(names: dict[str, str], others: dict[str, str]) -> str:
    """The first few of the names that are not among the others."""
    found = [one_line(name)[:60] for name in names if name not in others]
    more = f" and {len(found) - SHOWN_COLUMNS:,} more" if len(found) > SHOWN_COLUMNS else ""
    return (", ".join(found[:SHOWN_COLUMNS]) or "none") + more


def _have_same_test_rows(a: Compared, b: Compared) -> bool:
    """Whether the digests say so: of all rows, or of the test rows that the runs have as inputs."""
    if a.digest == b.digest:
        return True
    of_a, of_b = (
        {
            entry.dataset.digest
            for entry in (compared.run.inputs.dataset_inputs if compared.run.inputs else ())
            if "test" in [tag.value for tag in entry.tags]
        }
        for compared in (a, b)
    )
    return bool(of_a) and of_a == of_b


def _load(a: Compared, b: Compared) -> tuple[Dataset, Split]:
    """The dataset of model a, and the same test rows with the features of model b."""
    dataset = _reload(a, a)
    if a.digest == b.digest and a.table.reading_digest == b.table.reading_digest:
        return dataset, dataset.test
    test = _reload(a if a.digest == b.digest else b, b).test
    if not test.has_rows_of(dataset.test):
        raise UserError(
            f"b: expected a model with the test rows of a, got {test.n_rows:,} rows, not "
            f"{dataset.test.n_rows:,}, or other labels, or other rows: their tables read the files "
            "differently (table.json of both runs: aliases, label_aliases, drop_missing_labels)"
        )
    return dataset, test


def _reload(source: Compared, compared: Compared) -> Dataset:
    """The rows of ``source`` as the table of ``compared`` reads them."""
    dataset = sources.reload(source.model.tags, compared.table)
    if dataset.digest != source.digest:
        raise UserError(
            f"{source.option}: expected the rows with digest {source.digest[:8]} that run "
            f"{source.run.info.run_id} used, got {dataset.digest[:8]} from {dataset.source}: put "
            "the files back, or train again"
        )
    return dataset


def _log_setup(run: Run, a: Compared, b: Compared, dataset: Dataset) -> None:
    """Log what is compared on which rows, before the work starts."""
    tags = runs.provenance_tags(dataset, "cpu")
    for compared in (a, b):
        tags[f"compare.{compared.option}"] = compared.model.uri
        tags[f"compare.{compared.option}_run_id"] = compared.run.info.run_id
    runs.log_tags(run, tags)
    datasets.log_inputs(run.info.run_id, dataset, test=dataset.test)


def _report(
    a: Compared, b: Compared, dataset: Dataset, probabilities: tuple[np.ndarray, np.ndarray]
) -> Report:
    """All figures of the comparison."""
    test, thresholds = dataset.test, (a.threshold, b.threshold)
    tables = {"comparison.csv": paired.metric_differences(test.y, *probabilities, thresholds)}
    if dataset.table.groups:
        tables["groups_comparison.csv"] = paired.group_differences(
            test.groups, dataset.table, test.y, *probabilities, thresholds
        )
    tables["differences.csv"] = _record_differences(_records(a), _records(b))
    label_a, label_b = map(is_positive, probabilities, thresholds)
    return Report(
        names=(a.name, b.name),
        run_ids=(a.run.info.run_id, b.run.info.run_id),
        uris=(a.model.uri, b.model.uri),
        thresholds=thresholds,
        dataset=dataset,
        tables=tables,
        labels_differ=int((label_a != label_b).sum()),
        only_b_right=int(((label_a != label_b) & (label_b == (test.y == 1))).sum()),
        identical=np.array_equal(*probabilities) and a.threshold == b.threshold,
    )


def _records(compared: Compared) -> dict[tuple[str, str], str]:
    """What decided the model, as far as its run recorded it, by kind and name."""
    run, table = compared.run.data, compared.table
    versions = [name for name in run.tags if name.startswith("version.")]
    measured = [name for name in ("best_n_estimators", "fit_seconds") if name in run.metrics]
    params = _params(compared.run)
    names = [one.name for one in HYPERPARAMETERS if one.name in params]
    hyperparameters = {name: params.pop(name) for name in names}
    kinds: dict[str, dict[str, str]] = {
        comparison_report.HYPERPARAMETER: hyperparameters,
        "parameter": params,
        "data": {name: run.tags.get(name, "") for name in ("data.source", "data.digest")},
        "table": {
            "label": table.label,
            "positive": table.positive,
            "negative": table.negative,
            "missing": ", ".join(map(repr, table.missing)),
        },
        "column": table.columns,
        "version": {
            name: run.tags.get(name, "") for name in (*versions, runs.COMMIT, "machine", "device")
        },
        comparison_report.MODEL: {
            logged_model.DIGEST: run.tags.get(logged_model.DIGEST, ""),
            logged_model.THRESHOLD: str(compared.threshold),
            **{name: f"{run.metrics[name]:g}" for name in measured},
        },
    }
    return {(kind, name): value for kind, of in kinds.items() for name, value in of.items()}


def _params(run: Run) -> dict[str, str]:
    """The parameters of a run; of a sweep, with those of the configuration that it chose.

    Without the address of the data, whose place and digests are compared, and without the quotes of
    a shell, with which ``mlflow run`` records some texts.
    """
    best = run.data.tags.get(child_runs.BEST)
    winner = store.find_run(best) if best else None
    params = run.data.params | (winner.data.params if winner else {})
    return {key: unquote(text) for key, text in params.items() if key != "data"}


def _record_differences(
    of_a: dict[tuple[str, str], str], of_b: dict[tuple[str, str], str]
) -> pd.DataFrame:
    """One row for each record that differs: ``kind``, ``name``, ``a`` and ``b``.

    The hyper-parameters come first, and last the records that only one of the runs has, as a sweep
    has options that training lacks.
    """

    def rank(key: tuple[str, str]) -> tuple[bool, bool]:
        return key[0] != comparison_report.HYPERPARAMETER, not (key in of_a and key in of_b)

    rows = [
        (*key, of_a.get(key, ""), of_b.get(key, ""))
        for key in sorted(of_a | of_b, key=rank)
        if of_a.get(key, "") != of_b.get(key, "")
    ]
    return pd.DataFrame(rows, columns=["kind", "name", "a", "b"])


def _disagreements(
    dataset: Dataset,
    test_of_b: Split,
    of_a: np.ndarray,
    of_b: np.ndarray,
    thresholds: tuple[float, float],
) -> pd.DataFrame:
    """The rows with different labels, the largest difference of the probabilities first.

    Returns:
        At most ``MAX_ROWS`` rows: ``row``, its number in the test set from 0 on; the true label,
        that of each model, both probabilities, their difference, and the features of both models.
    """
    test, table = dataset.test, dataset.table
    label_a, label_b = map(is_positive, (of_a, of_b), thresholds)
    differing = np.flatnonzero(label_a != label_b)
    order = np.argsort(-np.abs(of_b - of_a)[differing], kind="stable")
    rows = differing[order][:MAX_ROWS]
    labels = np.array([table.negative, table.positive], object)
    found = {
        "row": rows,
        f"true_{table.label}": labels[test.y[rows]],
        "label_a": labels[1 * label_a[rows]],
        "label_b": labels[1 * label_b[rows]],
        "probability_a": of_a[rows],
        "probability_b": of_b[rows],
        "difference": of_b[rows] - of_a[rows],
    }
    others = [name for name in test_of_b.X if name not in test.X]
    features = [test.X.iloc[rows], test_of_b.X[others].iloc[rows]]
    parts = [pd.DataFrame(found), *(part.reset_index(drop=True) for part in features)]
    return pd.concat(parts, axis=1)


def _log_results(run: Run, report: Report, probabilities: tuple[np.ndarray, np.ndarray]) -> None:
    """Log metrics, plots, tables, and the finding as a tag and in the description."""
    values: dict[str, float] = {"labels_differ": report.labels_differ}
    for row in report.tables["comparison.csv"].itertuples():
        name = f"difference/{row.metric}"
        values |= {name: row.difference, f"{name}_low": row.low, f"{name}_high": row.high}
    dataset = report.dataset
    figures = paired_plots.figures(
        dataset.test.y,
        probabilities,
        report.tables,
        report.names,
        dataset.qualify(dataset.test.name),
        report.thresholds,
    )
    images = {path: plot_style.png(figure) for path, figure in figures.items()}
    runs.log_artifacts(run, images, report.tables)
    runs.log_metrics(run, values)
    cancel.check()
    finding = comparison_report.finding(report)
    description = comparison_report.describe(report)
    runs.log_tags(run, {"compare.finding": finding, runs.DESCRIPTION: description})
