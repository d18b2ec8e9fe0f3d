"""What a run prints, and the description on its page: the dataset, the table and the results."""

from collections.abc import Iterable

import click
from mlflow.entities import Run

from tabular.data import inference
from tabular.data.census import CENSUS
from tabular.data.dataset import Dataset, Split
from tabular.data.table import Table
from tabular.data.text import DELIMITERS
from tabular.errors import escape_markdown, one_line
from tabular.evaluation.bootstrap import interval_names
from tabular.evaluation.diagnosis import Finding
from tabular.options import DEFAULT_THRESHOLD, HEADLINE_METRICS
from tabular.tracking import runs

RARE_SHARE, RARE_ROWS = 0.1, 50  # fewer training rows of a label than either are worth a note
NO_POSITIVE = (
    "no test row has a predicted probability of {} or more, so that precision is 0 by convention "
    "and has no interval"
)
MAX_NAMES = 12  # of columns in a line of the console
MANY_VALUES = 20  # of a categorical column, which may then be a name or a code: print how many


def announce(dataset: Dataset) -> None:
    """Print what the rows are before any work."""
    sizes = f"{dataset.train.n_rows:,} training and {dataset.test.n_rows:,} test rows"
    if dataset.origin == "synthetic":
        reason = f" because {dataset.warning}" if dataset.warning else ""
        click.echo(f"WARNING: SYNTHETIC ROWS, no real people{reason}", err=True)
    click.echo(f"data   {sizes}, {dataset.provenance}")
    if (delimiter := dataset.test.delimiter) not in ("", ","):
        click.echo(f"       fields are separated by a {DELIMITERS[delimiter]}")
    if dataset.table_file:
        click.echo(f"       {one_line(dataset.table_file)} is used")
    if dataset.table != CENSUS:
        announce_table(dataset)


def announce_table(dataset: Dataset) -> None:
    """Print what a table was found to be, so that a wrong guess is seen before any work."""
    table, n_rows, n_positive = dataset.table, dataset.train.n_rows, dataset.train.n_positive
    label, positive = one_line(table.label), one_line(table.positive)
    share = f"{n_positive / n_rows:.1%} of the training rows"
    click.echo(f"label  {label}: {positive} is positive, {share}")
    kinds = {"numeric": table.numeric, "categorical": table.categorical}
    shown = " and ".join(f"{len(names):,} {kind}" for kind, names in kinds.items() if names)
    by = f", by group of {list_names(table.groups)}" if table.groups else ", no groups"
    click.echo(f"table  {one_line(table.name)}: {shown} features{by}")
    kinds["categorical"] = _with_sizes(dataset.train, table.categorical)
    for kind, names in kinds.items():
        if names:
            click.echo(f"       {kind}: {list_names(names)}")
    for reason, left_out in _left_out(table).items():
        click.echo(f"       left out, {reason}: {list_names(left_out)}")
    if codes := inference.likely_codes(dataset.test.X):
        click.echo(
            f"note   {list_names(codes)}: of these numbers seven digits are used; if they are "
            'codes, set their kind to "categorical" under [columns] in table.toml'
        )
    if note := rare_note(dataset.train):
        click.echo(f"note   {note}")


def rare_note(train: Split) -> str:
    """What a rare label or few rows mean for the metrics; empty where neither is the case."""
    n_rare = min(train.n_positive, train.n_rows - train.n_positive)
    rare = f"only {n_rare:,} of {train.n_rows:,} training rows have the rarer label"
    if n_rare < RARE_SHARE * train.n_rows:
        return f"{rare}: accuracy says little, look at average_precision and log_loss"
    return (
        f"{rare}: the results are uncertain, look at their intervals" if n_rare < RARE_ROWS else ""
    )


def _with_sizes(rows: Split, categorical: Iterable[str]) -> tuple[str, ...]:
    """The names of categorical columns, those of many values with how many they are."""
    sizes = rows.n_categories
    return tuple(
        f"{name} ({sizes[name]:,} values)" if sizes[name] > MANY_VALUES else name
        for name in categorical
    )


def _left_out(table: Table) -> dict[str, list[str]]:
    """The columns that are no features, by the reason for it."""
    reasons: dict[str, list[str]] = {}
    for name, reason in table.left_out.items():
        reasons.setdefault(reason, []).append(name)
    return reasons


def list_names(names: Iterable[str]) -> str:
    """Names of columns in a line, at most ``MAX_NAMES`` of them."""
    shown = [one_line(name) for name in names]
    more = f" and {len(shown) - MAX_NAMES:,} more" if len(shown) > MAX_NAMES else ""
    return ", ".join(shown[:MAX_NAMES]) + more


def headline(dataset: Dataset, test_metrics: dict[str, float]) -> str:
    """The test metrics that a reader asks for first, with their intervals."""
    shown = []
    for name in HEADLINE_METRICS:
        low, high = (test_metrics[end] for end in interval_names(name))
        shown.append(f"{name} {test_metrics[name]:.4f} [{low:.4f}, {high:.4f}]")
    test = dataset.test
    return f"{', '.join(shown)} on {test.n_rows:,} rows of {dataset.qualify(test.name)}"


def _has_interval(test_metrics: dict[str, float], metric: str) -> bool:
    return {*interval_names(metric)} <= {*test_metrics}


def summarize(
    dataset: Dataset,
    test_metrics: dict[str, float],
    findings: Iterable[Finding] = (),
    threshold_note: str = "",
) -> str:
    """The result and what the checks found in Markdown, as run and model are described.

    Args:
        threshold_note: what a threshold other than the default costs and gains.
    """
    warning, table = "**Synthetic rows: no real people, no conclusions.** ", dataset.table
    left_out = "; ".join(f"{list_names(n)} ({why})" for why, n in _left_out(table).items())
    left_out = f"Columns left out: {escape_markdown(left_out)}.\n\n" if left_out else ""
    known = "" if dataset.origin == "directory" else f" ({dataset.origin})"
    no_positive = NO_POSITIVE.format(test_metrics.get("threshold", DEFAULT_THRESHOLD))
    undefined = "" if _has_interval(test_metrics, "precision") else f"Note: {no_positive}.\n\n"
    threshold = f"Threshold: {escape_markdown(threshold_note)}.\n\n" if threshold_note else ""
    checks = "".join(
        f"- **{found.code}**: {escape_markdown(found.finding)}; {escape_markdown(found.advice)}\n"
        for found in findings
    )
    checks += "\n" if checks else ""
    return (
        f"{warning if dataset.origin == 'synthetic' else ''}"
        f"XGBoost predicts whether {escape_markdown(table.label)} is "
        f"{escape_markdown(table.positive)}, trained on "
        f"{dataset.train.n_rows:,} rows{known}: "
        f"**{headline(dataset, test_metrics)}** (in brackets 95 % bootstrap intervals).\n\n"
        f"{threshold}{undefined}{left_out}{checks}"
    )


def describe(run: Run, summary: str) -> str:
    """The run in Markdown, in the few lines that MLflow's page shows unfolded."""
    return f"{summary}Serve it: `{runs.serve_command(run)}`\n"


def report(
    run: Run,
    dataset: Dataset,
    test_metrics: dict[str, float],
    findings: Iterable[Finding],
    threshold_note: str = "",
) -> None:
    """Print the results, what the checks found, and the commands that show and serve the model."""
    click.echo(f"test   {headline(dataset, test_metrics)}")
    if threshold_note:
        click.echo(f"       threshold {threshold_note}".replace("\n", "\n       "))
    if not _has_interval(test_metrics, "precision"):
        threshold = test_metrics.get("threshold", DEFAULT_THRESHOLD)
        click.echo(f"note   {NO_POSITIVE.format(threshold)}")
    for found in findings:
        click.echo(f"check  {found.code}: {found.finding}; {found.advice}")
    click.echo(f"run    {run.info.run_id}")
    click.echo(f"look   {runs.ui_command()}")
    click.echo(f"serve  {runs.serve_command(run)}")
    if dataset.origin == "synthetic":
        click.echo("WARNING: these figures are of SYNTHETIC ROWS, not of real ones", err=True)
