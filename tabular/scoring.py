"""Score a file of rows, however large, in bounded memory: a label and a probability for each."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import pyarrow as pa
from mlflow.entities import Run
from tqdm import tqdm

from tabular import drift_report
from tabular.data import columns, readers, sources, writers
from tabular.data.readers import Chunk, RowSource
from tabular.data.table import Table
from tabular.drift_report import Draw
from tabular.errors import UserError, WorkFailed, one_line
from tabular.evaluation import metrics
from tabular.evaluation.drift import Counter
from tabular.explanation import Explainer
from tabular.model import served
from tabular.options import HEADLINE_METRICS
from tabular.tracking import opening, process, registry, runs, store
from tabular.tracking.registry import LoggedModel

Predictor = Callable[[pd.DataFrame], np.ndarray]  # probabilities, (n_samples,), of features


@dataclass
class Totals:
    """Counts and sums over the scored rows, in memory of one size for any number of rows.

    Attributes:
        histogram: of the rows that have a label, as ``metrics.update_histogram`` fills it.
        confusion: their numbers by label and by predicted label, (2, 2).
        filled: the categorical columns that have values.
        recognized: those of them with a category that the model knows.
    """

    n_rows: int = 0
    n_bad: int = 0
    n_positive: int = 0
    probability: float = 0.0
    histogram: np.ndarray = field(default_factory=lambda: np.zeros((2, 1 << 20), np.int64))
    confusion: np.ndarray = field(default_factory=lambda: np.zeros((2, 2), np.int64))
    filled: set[str] = field(default_factory=set)
    recognized: set[str] = field(default_factory=set)

    def metrics(self, threshold: float) -> dict[str, int | float]:
        """Counts and rates; if both labels occur, the metrics of the rows that have one."""
        y_true, probability, counts = metrics.histogram_samples(self.histogram)
        values: dict[str, int | float]
        values = {"rows_scored": self.n_rows, "rows_bad": self.n_bad}
        values["rows_labelled"] = int(counts.sum())
        if self.n_rows:
            values["selection_rate"] = self.n_positive / self.n_rows
            values["mean_probability"] = self.probability / self.n_rows
        if len(set(y_true)) == 2:  # without both labels most metrics do not exist
            found = metrics.classification_metrics(y_true, probability, threshold, counts)
            found |= self._label_metrics()
            values |= {f"score_{name}": value for name, value in found.items()}
        return values

    def _label_metrics(self) -> dict[str, float]:
        """The metrics of predicted labels: the histogram has rounded the probabilities."""
        counts = self.confusion.ravel()
        y_true, predicted = np.array([[0, 0, 1, 1], [0, 1, 0, 1]])[:, counts > 0]
        exact = metrics.classification_metrics(
            y_true, predicted.astype(float), 0.5, counts[counts > 0]
        )
        return {name: exact[name] for name in ("accuracy", "f1", "precision", "recall")}


@dataclass
class ScoredChunk:
    """A chunk of the input as it is written, and what it adds to the totals."""

    table: pa.Table
    chunk: Chunk
    y_true: np.ndarray
    probability: np.ndarray
    n_positive: int
    confusion: np.ndarray
    filled: set[str]
    recognized: set[str]
    counts: list[np.ndarray]


def score(
    model: str,
    input: str,
    output: str,
    threshold: float | None,
    cli_args: dict[str, str],
    explain: int | None = 0,
    drift: bool = True,
    draw: Draw | None = None,
) -> None:
    """Do all of ``score.py``: arguments are its options; None takes the model's own threshold.

    Args:
        explain: the number of features to show; None: all.
        draw: draws the plot of drift; None: there is none.

    Raises:
        UserError: model, input or output cannot be used.
        WorkFailed: the output could not be written, or some rows could not be scored.
    """
    source_path, target = _require_paths(input, output)
    if not opening.require_usable(make=False) and registry.is_of_store(model):
        where = store.describe(store.tracking_uri())
        raise UserError(f"model: {model} is not in {where}, a new store; name the one that has it")
    if registry.is_registered(model):
        opening.require_registry(writes=False)
    found = registry.find_model(model)
    named = f"input: {source_path.name}"
    with readers.open_rows(source_path, named) as source:
        predictor = registry.Predictor(found)
        table = replace(predictor.table, non_features={})  # the model does not need them
        columns.require_columns(source.schema, table.schema, named)
        columns.require_categories(source.schema, table.schema, predictor.categories, named)
        explainer = None if explain == 0 else Explainer(predictor, explain, source.schema.names)
        profile, categories = predictor.profile, predictor.categories
        counter = Counter(profile, categories) if drift and profile else None
        used = found.threshold if threshold is None else threshold
        job = ScoringJob(
            source, target, table, predictor.predict, used, categories, explainer, counter
        )
        with runs.start_run(f"score {source_path.name}") as run:
            runs.log_params(run, cli_args)
            runs.log_tags(run, {"score.model": found.uri, "score.model_run_id": found.run_id})
            announce(found)
            values = score_source(job)
            runs.log_metrics(run, values | {"peak_memory_mb": process.peak_memory_mb()})
            finding = drift_report.log(run, counter, values, used, draw) if counter else ""
            report(run, job, values, finding or (drift_report.UNKNOWN if drift else ""))
            if n_bad := values["rows_bad"]:
                bad_path = writers.bad_rows_path(target)
                raise WorkFailed(f"{n_bad:,} bad rows were not scored: {bad_path} has each and why")


def announce(model: LoggedModel) -> None:
    """Print what model scores, and what is known of the rows that it was trained on."""
    click.echo(f"model  {model.uri} of run {model.run_id}")
    if not model.run:
        click.echo("note   that run is not in this store: what it was trained on is unknown")
    elif model.tags["data.origin"] == "synthetic":
        click.echo("WARNING: this model was trained on SYNTHETIC ROWS", err=True)


def _require_paths(input: str, output: str) -> tuple[Path, Path]:
    """The resolved paths of input and output, once they are known to be usable."""
    source = sources.resolve_path(input, "input")
    target = sources.resolve_path(output, "output")
    for path, option in ((source, "input"), (target, "output")):
        readers.require_known_extension(path, option)
    for path in (target, writers.bad_rows_path(target)):
        if path == source or _is_same_file(path, source):
            raise UserError(f"output: {output} would replace the input; name another file")
    writers.require_writable(target)
    return source, target


def _is_same_file(a: Path, b: Path) -> bool:
    """Whether two names are of one file, such as in.csv and IN.csv on Windows and macOS."""
    try:
        return a.samefile(b)
    except OSError:  # one is not there, or cannot be
        return False


@dataclass
class ScoringJob:
    """What is scored, by what, and where the result goes.

    Attributes:
        target: the file to write.
        table: of the model.
        threshold: rows of at least this probability get the positive label.
        categories: that the model knows, by column.
        explainer: of the predictions; None: they are not explained.
        counter: of the rows by their values, for drift; None: they are not counted.
        names: the table's own name of each column of the input, by its name in the file.
        parsed: columns of the input that are text there and are written as numbers.
        probability: the name of the column of probabilities.
        schema: of the output.

    Raises:
        UserError: a column has a name that is added, or a type that the output cannot hold.
    """

    source: RowSource
    target: Path
    table: Table
    predict: Predictor
    threshold: float
    categories: dict[str, list[str]] = field(default_factory=dict)
    explainer: Explainer | None = None
    counter: Counter | None = None
    names: dict[str, str] = field(init=False)
    parsed: list[str] = field(init=False)
    probability: str = field(init=False)
    schema: pa.Schema = field(init=False)

    def __post_init__(self) -> None:
        table, found = self.table, self.source.schema
        suffix, renames = readers.extension(self.target), table.schema.renames(found.names)
        self.names = own = {name: renames.get(name, name) for name in found.names}
        taken = {*table.features, table.label}
        self.probability = served.probability_name(taken)
        true_label = f"true_{table.label}"
        while true_label in taken:
            true_label = f"true_{true_label}"
        for name in {self.probability, true_label} & {*own, *own.values()}:
            raise UserError(f"input: score adds a column {name}, and there is one; rename it")
        nested = [field.name for field in found if pa.types.is_nested(field.type)]
        if nested and suffix != readers.PARQUET:
            raise UserError(
                f"output: {suffix} cannot hold the column {nested[0]}; use {readers.PARQUET}"
            )
        self.parsed = []
        if suffix == readers.PARQUET:  # text formats write numbers as they were read
            self.parsed = [f for f in found.names if own[f] in table.numeric and _is_text(found, f)]
        fields = [
            (
                true_label if own[name] == table.label else name,
                pa.float64() if name in self.parsed else found.field(name).type,
            )
            for name in found.names
        ]
        added = [(table.label, pa.string()), (self.probability, pa.float64())]
        explained = self.explainer.schema if self.explainer else []
        self.schema = pa.schema([*fields, *added, *explained])


def _is_text(schema: pa.Schema, name: str) -> bool:
    found = schema.field(name).type
    return readers.is_text(found.value_type if pa.types.is_dictionary(found) else found)


def score_source(job: ScoringJob) -> dict[str, int | float]:
    """Score the rows of a source and write them in their order, the bad ones to another file.

    Both files appear when they are complete. They are replaced if they exist.

    Returns:
        Metrics by name.
    """
    start, totals = time.perf_counter(), Totals()
    source, target = job.source, job.target
    schemas = {target: job.schema, writers.bad_rows_path(target): writers.BAD_ROWS_SCHEMA}
    bar = {"total": source.size, "unit": source.unit, "unit_scale": True, "leave": False}
    try:
        with (
            writers.open_writers(schemas) as (write, write_bad),
            tqdm(**bar, disable=None) as progress,
        ):
            for scored in _scored_chunks(job):
                bad = [row._asdict() for row in scored.chunk.bad]
                write(scored.table)
                write_bad(pa.Table.from_pylist(bad, writers.BAD_ROWS_SCHEMA))
                _add(totals, scored)
                if job.counter:
                    job.counter.add(scored.counts)
                progress.update(scored.chunk.size)
        _warn_of_unknown(totals)
        if not totals.n_bad:
            writers.bad_rows_path(target).unlink(missing_ok=True)
    except OSError as error:
        reason = f"[Errno {error.errno}] {error.strerror}"  # without the name of a temporary file
        raise WorkFailed(f"{reason}; {target} was not written") from None
    seconds = time.perf_counter() - start
    return totals.metrics(job.threshold) | {"score_seconds": seconds}


def _scored_chunks(job: ScoringJob) -> Iterator[ScoredChunk]:
    """The chunks of a source in their order, scored by all cores."""
    table = job.table
    labels = pa.array([table.negative, table.positive], pa.string())
    known = {
        name: served.Categories((text, code) for code, text in enumerate(categories))
        for name, categories in job.categories.items()
    }

    def work(block: tuple) -> ScoredChunk:
        chunk, X, y_true = columns.interpret(job.source.parse(*block), table.schema)
        probability = job.predict(X).astype(np.float64)
        values: dict[str, Any] = dict(zip(job.names, chunk.rows.columns, strict=True))
        for name in job.parsed:
            values[name] = pa.array(X[job.names[name]], from_pandas=True)
        y_true, positive = np.asarray(y_true), probability >= job.threshold
        written = [
            *values.values(),
            labels.take(pa.array(positive.astype(np.int8))),
            pa.array(probability),
            *(job.explainer.columns(X) if job.explainer else ()),
        ]
        scored = pa.Table.from_arrays(written, schema=job.schema)
        found = {name: X[name].cat.categories for name in known}
        return ScoredChunk(
            scored,
            chunk,
            y_true,
            probability,
            int(positive.sum()),
            np.bincount((2 * y_true + positive)[y_true >= 0], minlength=4).reshape(2, 2),
            {name for name in found if len(found[name])},
            {name for name in found if not np.isnan(known[name].encode(found[name])).all()},
            job.counter.count(X, probability) if job.counter else [],
        )

    return readers.map_in_order(work, job.source.blocks)


def _add(totals: Totals, scored: ScoredChunk) -> None:
    labelled = scored.y_true >= 0
    totals.n_rows += len(scored.table)
    totals.n_bad += len(scored.chunk.bad)
    totals.n_positive += scored.n_positive
    totals.probability += float(scored.probability.sum())
    y_true, probability = scored.y_true[labelled], scored.probability[labelled]
    metrics.update_histogram(totals.histogram, y_true, probability)
    totals.confusion += scored.confusion
    totals.filled |= scored.filled
    totals.recognized |= scored.recognized


def _warn_of_unknown(totals: Totals) -> None:
    """Print which columns have only values that the model has never seen: another spelling?"""
    if unknown := sorted(totals.filled - totals.recognized):
        shown = ", ".join(map(one_line, unknown[:20]))
        click.echo(
            f"WARNING: the model knows no value of {shown}: all of them were treated as missing",
            err=True,
        )


def report(run: Run, job: ScoringJob, values: dict[str, int | float], drift: str) -> None:
    """Print what was scored, and which columns have drifted."""
    n_rows, n_bad, n_labelled = (
        f"{values[f'rows_{name}']:,}" for name in ("scored", "bad", "labelled")
    )
    line = f"score  {n_rows} rows scored, {n_bad} bad, {values['score_seconds']:.1f} s"
    if "selection_rate" in values:
        rate = f"{values['selection_rate']:.1%}"
        line += f"; {rate} are {job.table.positive} at threshold {job.threshold}"
    click.echo(line)
    if "score_accuracy" in values:
        shown = ", ".join(f"{name} {values[f'score_{name}']:.4f}" for name in HEADLINE_METRICS)
        click.echo(f"       {shown} on {n_labelled} rows that have a label")
    if drift:
        click.echo(f"drift  {drift}")
    click.echo(f"wrote  {job.target}")
    click.echo(f"run    {run.info.run_id}")
