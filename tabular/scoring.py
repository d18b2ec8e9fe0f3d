"""Score a file of rows, however large, in bounded memory: a label and a probability for each."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import pyarrow as pa
from mlflow.entities import Run
from tqdm import tqdm

from tabular.data import census, columns, readers, sources, writers
from tabular.data.readers import Chunk, RowSource
from tabular.errors import UserError, WorkFailed
from tabular.evaluation import metrics
from tabular.options import HEADLINE_METRICS
from tabular.tracking import process, registry, runs, store

PROBABILITY, TRUE_LABEL = "probability", f"true_{census.LABEL}"

Predictor = Callable[[pd.DataFrame], np.ndarray]  # probabilities, (n_samples,), of features


@dataclass
class Totals:
    """Counts and sums over the scored rows, in memory of one size for any number of rows.

    Attributes:
        histogram: of the rows that have a label, as ``metrics.update_histogram`` fills it.
    """

    n_rows: int = 0
    n_bad: int = 0
    n_positive: int = 0
    probability: float = 0.0
    histogram: np.ndarray = field(default_factory=lambda: np.zeros((2, 1 << 20), np.int64))

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
            values |= {f"score_{name}": value for name, value in found.items()}
        return values


@dataclass
class ScoredChunk:
    """A chunk of the input as it is written, and what it adds to the totals."""

    table: pa.Table
    chunk: Chunk
    y_true: np.ndarray
    probability: np.ndarray
    n_positive: int


def score(model: str, input: str, output: str, threshold: float, cli_args: dict[str, str]) -> None:
    """Do all of ``score.py``: arguments are its options.

    Raises:
        UserError: model, input or output cannot be used.
        WorkFailed: the output could not be written, or some rows could not be scored.
    """
    source_path, target = _require_paths(input, output)
    store.require_reachable()
    found = registry.find_model(model)
    with readers.open_rows(source_path, f"input: {source_path.name}") as source:
        schema = output_schema(source.schema, target.suffix)
        predict = registry.predictor(found)
        with runs.start_run(f"score {source_path.name}") as run:
            model_run_id = found.run.info.run_id
            runs.log_params(run, cli_args)
            runs.log_tags(run, {"score.model": found.uri, "score.model_run_id": model_run_id})
            click.echo(f"model  {found.uri} of run {model_run_id}")
            if found.run.data.tags["data.origin"] == "synthetic":
                click.echo("WARNING: this model was trained on SYNTHETIC ROWS", err=True)
            values = score_source(source, schema, target, predict, threshold)
            runs.log_metrics(run, values | {"peak_memory_mb": process.peak_memory_mb()})
            report(run, values, target, threshold)
            if n_bad := values["rows_bad"]:
                bad_path = writers.bad_rows_path(target)
                raise WorkFailed(f"{n_bad:,} bad rows were not scored: {bad_path} has each and why")


def _require_paths(input: str, output: str) -> tuple[Path, Path]:
    """The resolved paths of input and output, once they are known to be usable."""
    source = sources.resolve_path(input, "input")
    target = sources.resolve_path(output, "output")
    for path, option in ((source, "input"), (target, "output")):
        readers.require_known_extension(path, option)
    if source in (target, writers.bad_rows_path(target)):
        raise UserError(f"output: {output} would replace the input; name another file")
    writers.require_writable(target)
    return source, target


def output_schema(schema: pa.Schema, suffix: str) -> pa.Schema:
    """The columns to write: those of the input with its label renamed, label and probability.

    Raises:
        UserError: a column has a name that is added, or a type that the output cannot hold.
    """
    for name in (PROBABILITY, TRUE_LABEL):
        if name in schema.names:
            raise UserError(f"input: score adds a column {name}, and there is one; rename it")
    nested = [field.name for field in schema if pa.types.is_nested(field.type)]
    if nested and suffix != readers.PARQUET:
        raise UserError(
            f"output: {suffix} cannot hold the column {nested[0]}; use {readers.PARQUET}"
        )
    types = {field.name: field.type for field in schema}
    if suffix == readers.PARQUET:  # text formats write numbers as they were read
        types |= {name: pa.float64() for name in census.NUMERIC if types[name] == pa.string()}
    fields = [(TRUE_LABEL if name == census.LABEL else name, kind) for name, kind in types.items()]
    return pa.schema([*fields, (census.LABEL, pa.string()), (PROBABILITY, pa.float64())])


def score_source(
    source: RowSource, schema: pa.Schema, target: Path, predict: Predictor, threshold: float
) -> dict[str, int | float]:
    """Score the rows of a source and write them in their order, the bad ones to another file.

    Both files appear when they are complete. They are replaced if they exist.

    Args:
        schema: as ``output_schema`` returns it.
        predict: as ``registry.predictor`` returns it.

    Returns:
        Metrics by name.
    """
    start, totals = time.perf_counter(), Totals()
    bar = {"total": source.size, "unit": source.unit, "unit_scale": True, "leave": False}
    try:
        with (
            writers.open_writer(target, schema) as write,
            writers.open_writer(
                writers.bad_rows_path(target), writers.BAD_ROWS_SCHEMA
            ) as write_bad,
            tqdm(**bar, disable=None) as progress,
        ):
            for scored in _scored_chunks(source, schema, predict, threshold):
                bad = [row._asdict() for row in scored.chunk.bad]
                write(scored.table)
                write_bad(pa.Table.from_pylist(bad, writers.BAD_ROWS_SCHEMA))
                _add(totals, scored)
                progress.update(scored.chunk.size)
        if not totals.n_bad:
            writers.bad_rows_path(target).unlink()
    except OSError as error:
        raise WorkFailed(f"{error}; {target} was not written") from None
    seconds = time.perf_counter() - start
    return totals.metrics(threshold) | {"score_seconds": seconds}


def _scored_chunks(
    source: RowSource, schema: pa.Schema, predict: Predictor, threshold: float
) -> Iterator[ScoredChunk]:
    """The chunks of a source in their order, scored by all cores."""
    labels = np.array([census.NEGATIVE, census.POSITIVE], object)

    def work(block: tuple) -> ScoredChunk:
        chunk, X, y_true = columns.interpret(source.parse(*block))
        probability = predict(X).astype(np.float64)
        values: dict[str, Any] = dict(zip(schema.names, chunk.rows.columns, strict=False))
        for name in census.NUMERIC:
            if values[name].type != schema.field(name).type:
                values[name] = pa.array(X[name], from_pandas=True)
        positive = probability >= threshold
        values[census.LABEL] = pa.array(labels[positive.astype(np.intp)], pa.string())
        values[PROBABILITY] = pa.array(probability)
        table = pa.table(values, schema)
        return ScoredChunk(table, chunk, y_true, probability, int(positive.sum()))

    return readers.map_in_order(work, source.blocks)


def _add(totals: Totals, scored: ScoredChunk) -> None:
    labelled = scored.y_true >= 0
    totals.n_rows += len(scored.table)
    totals.n_bad += len(scored.chunk.bad)
    totals.n_positive += scored.n_positive
    totals.probability += float(scored.probability.sum())
    y_true, probability = scored.y_true[labelled], scored.probability[labelled]
    metrics.update_histogram(totals.histogram, y_true, probability)


def report(run: Run, values: dict[str, int | float], target: Path, threshold: float) -> None:
    """Print what was scored."""
    n_rows, n_bad, n_labelled = (
        f"{values[f'rows_{name}']:,}" for name in ("scored", "bad", "labelled")
    )
    line = f"score  {n_rows} rows scored, {n_bad} bad, {values['score_seconds']:.1f} s"
    if "selection_rate" in values:
        rate = f"{values['selection_rate']:.1%}"
        line += f"; {rate} are {census.POSITIVE} at threshold {threshold}"
    click.echo(line)
    if "score_accuracy" in values:
        shown = ", ".join(f"{name} {values[f'score_{name}']:.4f}" for name in HEADLINE_METRICS)
        click.echo(f"       {shown} on {n_labelled} rows that have a label")
    click.echo(f"wrote  {target}")
    click.echo(f"run    {run.info.run_id}")
