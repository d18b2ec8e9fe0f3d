"""Write label and probability for every row of a file, however large, in bounded memory.

mlflow run . -e score -P model=runs:/<run id>/model -P input=people.csv -P output=scored.csv
python score.py --model models:/census-income@champion --input in.parquet --output out.parquet
"""

import time
from collections.abc import Callable
from pathlib import Path

import click
from tqdm import tqdm

from tabular import cancel, cli
from tabular.data import census
from tabular.errors import UserError, WorkFailed

PROBABILITY, TRUE_LABEL = "probability", f"true_{census.LABEL}"


@click.command(cls=cli.Command, help=__doc__)
@cli.option("model", None, None, "Address of the model.")
@cli.option("input", None, None, "File of raw rows: .csv, .parquet, or .data and .test as UCI's.")
@cli.option("output", None, None, "File to write, of any of these kinds; replaced if it is there.")
@cli.option(
    "threshold", cli.Float(0, 1), 0.5, f"From this probability on, a row is {census.POSITIVE}."
)
@click.pass_context
def main(ctx, model, input, output, threshold) -> None:
    with cancel.uninterrupted():
        from tabular.data import readers, sources, writers
        from tabular.tracking import registry, runs, store

    source_path, target = (
        sources.resolve_path(input, "input"),
        sources.resolve_path(output, "output"),
    )
    for path, option in ((source_path, "input"), (target, "output")):
        readers.require_known_extension(path, option)
    if source_path in (target, writers.bad_rows_path(target)):
        raise UserError(f"output: {output} would replace the input; name another file")
    writers.require_writable(target)
    store.require_reachable()
    logged = registry.find_model(model)
    with readers.open_rows(source_path, f"input: {source_path.name}") as source:
        schema = scored_schema(source.schema, target.suffix)
        answer = registry.predictor(logged)
        with runs.start_run(f"score {source_path.name}") as run:
            made_by = logged.run.info.run_id
            runs.log_params(run, ctx.meta["typed"])
            runs.log_tags(run, {"score.model": logged.uri, "score.model_run_id": made_by})
            click.echo(f"model  {logged.uri} of run {made_by}")
            if logged.run.data.tags["data.origin"] == "synthetic":
                click.echo("WARNING: this model was trained on SYNTHETIC ROWS", err=True)
            figures = score(source, schema, target, answer, threshold)
            runs.log_metrics(run, figures | {"peak_memory_mb": runs.peak_memory_mb()})
            report(run, figures, target, threshold)
            if n_bad := figures["rows_bad"]:
                side = writers.bad_rows_path(target)
                raise WorkFailed(f"{n_bad:,} bad rows were not scored: {side} has each and why")


def scored_schema(schema, suffix: str):
    """The columns to write: those of the input, the label of its rows renamed, and ours.

    Raises:
        UserError: a column has a name of ours, or a kind that the output cannot hold.
    """
    import pyarrow as pa

    from tabular.data import readers

    for name in (PROBABILITY, TRUE_LABEL):
        if name in schema.names:
            raise UserError(f"input: score adds a column {name}, and there is one; rename it")
    nested = [field.name for field in schema if pa.types.is_nested(field.type)]
    if nested and suffix != readers.PARQUET:
        raise UserError(
            f"output: {suffix} cannot hold the column {nested[0]}; use {readers.PARQUET}"
        )
    kinds = {field.name: field.type for field in schema}
    if suffix == readers.PARQUET:  # text holds numbers as they stand
        kinds |= {name: pa.float64() for name in census.NUMERIC if kinds[name] == pa.string()}
    kept = [(TRUE_LABEL if name == census.LABEL else name, kind) for name, kind in kinds.items()]
    return pa.schema([*kept, (census.LABEL, pa.string()), (PROBABILITY, pa.float64())])


def score(
    source, schema, target: Path, answer: Callable, threshold: float
) -> dict[str, int | float]:
    """Score the rows of a source and write them in their order, the bad ones to a file beside.

    Neither file is there before it is whole.

    Args:
        source: as ``readers.open_rows`` gives it.
        schema: as of ``scored_schema``.
        answer: gives the probabilities (n_samples,) of features (n_samples, n_features).

    Returns:
        Counts and rates; if both labels occur, the metrics of the rows that have one.
    """
    import numpy as np
    import pyarrow as pa

    from tabular.data import columns, readers, writers
    from tabular.evaluation import metrics

    names = np.array([census.NEGATIVE, census.POSITIVE], object)
    labelled = np.zeros((2, 1 << 20), np.int64)  # memory of one size for any number of rows
    n_rows = n_bad = n_positive = total = 0

    def work(block) -> tuple:
        piece, X, y = columns.interpret(source.parse(*block))
        probability = answer(X).astype(np.float64)
        values = dict(zip(schema.names, piece.rows.columns, strict=False))
        for name in census.NUMERIC:
            if values[name].type != schema.field(name).type:
                values[name] = pa.array(X[name], from_pandas=True)
        positive = probability >= threshold
        values[census.LABEL] = pa.array(names[positive.astype(np.intp)], pa.string())
        values[PROBABILITY] = pa.array(probability)
        return pa.table(values, schema), piece, y, positive, probability

    start = time.perf_counter()
    bar = {"total": source.size, "unit": source.unit, "unit_scale": True, "leave": False}
    try:
        with (
            writers.open_writer(target, schema) as write,
            writers.open_writer(
                writers.bad_rows_path(target), writers.BAD_ROWS_SCHEMA
            ) as write_bad,
            tqdm(**bar, disable=None) as advance,
        ):
            for rows, piece, y, positive, probability in readers.map_in_order(work, source.blocks):
                write(rows)
                write_bad(
                    pa.Table.from_pylist(
                        [bad._asdict() for bad in piece.bad], writers.BAD_ROWS_SCHEMA
                    )
                )
                n_rows += len(rows)
                n_bad += len(piece.bad)
                n_positive += int(positive.sum())
                total += float(probability.sum())
                metrics.update_histogram(labelled, y[y >= 0], probability[y >= 0])
                advance.update(piece.size)
        if not n_bad:
            writers.bad_rows_path(target).unlink()
    except OSError as error:
        raise WorkFailed(f"{error}; {target} was not written") from None
    seconds = time.perf_counter() - start
    y, probability, counts = metrics.histogram_samples(labelled)
    figures = {"rows_scored": n_rows, "rows_bad": n_bad, "rows_labelled": int(counts.sum())}
    if n_rows:
        figures |= {"selection_rate": n_positive / n_rows, "mean_probability": total / n_rows}
    if len(set(y)) == 2:  # without both labels most metrics do not exist
        scores = metrics.classification_metrics(y, probability, threshold, counts)
        figures |= {f"score_{name}": value for name, value in scores.items()}
    return figures | {"score_seconds": seconds}


def report(run, figures: dict, target: Path, threshold: float) -> None:
    """Print what was scored."""
    rows, bad, labelled = (f"{figures[f'rows_{name}']:,}" for name in ("scored", "bad", "labelled"))
    line = f"score  {rows} rows scored, {bad} bad, {figures['score_seconds']:.1f} s"
    if "selection_rate" in figures:
        line += f"; {figures['selection_rate']:.1%} are {census.POSITIVE} at threshold {threshold}"
    click.echo(line)
    if "score_accuracy" in figures:
        names = ("accuracy", "roc_auc", "log_loss")
        shown = ", ".join(f"{name} {figures[f'score_{name}']:.4f}" for name in names)
        click.echo(f"       {shown} on {labelled} rows that have a label")
    click.echo(f"wrote  {target}")
    click.echo(f"run    {run.info.run_id}")


if __name__ == "__main__":
    cli.run(main)
