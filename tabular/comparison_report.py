"""What a comparison of two models prints, and the description on its page."""

from dataclasses import dataclass
from typing import Any

import click
import pandas as pd
from mlflow.entities import Run

from tabular.data.dataset import Dataset
from tabular.errors import escape_markdown, one_line
from tabular.evaluation.paired import BETTER, SAME, UNDEFINED, WORSE
from tabular.options import HEADLINE_METRICS
from tabular.tracking import runs

MODEL = "model"  # the kind of records that are of the model itself, not of how it was made
HYPERPARAMETER = "hyper-parameter"  # the kind of records that come first, and are all shown
SHOWN = 4  # differences of parameters, and groups, in a line of the console
DESCRIBED = 40  # differences of parameters in the description


@dataclass(frozen=True)
class Report:
    """What was found of models a and b, in this order.

    Attributes:
        names: of the runs that logged them.
        run_ids: of these runs.
        uris: of the models.
        thresholds: of the models.
        dataset: whose test rows both have predicted.
        tables: by the file's name.
        labels_differ: number of test rows for which the predicted labels differ.
        only_b_right: how many of these model b predicts correctly.
        identical: whether all probabilities and both thresholds are equal.
    """

    names: tuple[str, str]
    run_ids: tuple[str, str]
    uris: tuple[str, str]
    thresholds: tuple[float, float]
    dataset: Dataset
    tables: dict[str, pd.DataFrame]
    labels_differ: int
    only_b_right: int
    identical: bool


def finding(report: Report) -> str:
    """The result in one sentence: which headline metrics tell the models apart, by how much."""
    if report.identical:
        return "a and b predict the same probability for every row"
    table = report.tables["comparison.csv"].set_index("metric")
    rows = [(name, table.loc[name]) for name in HEADLINE_METRICS]
    told = [_describe_difference(name, row) for name, row in rows if row["b_is"] in (BETTER, WORSE)]
    same = [name for name, row in rows if row["b_is"] in (SAME, UNDEFINED)]
    apart = f"b has {_join(told)}" if told else ""
    not_apart = f"{_join(same)} {'is' if len(same) == 1 else 'are'} not told apart" if same else ""
    return "; ".join(filter(None, [apart, not_apart]))


def _describe_difference(name: str, row: pd.Series) -> str:
    sign, word = (1, "higher") if row["difference"] > 0 else (-1, "lower")
    low, high = sorted([sign * row["low"], sign * row["high"]])
    article = "a " if row["b_is"] == BETTER else "a worse, "
    return f"{article}{word} {name} by {sign * row['difference']:.5f} [{low:.5f}, {high:.5f}]"


def _join(texts: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))


def print_report(run: Run, report: Report) -> None:
    """Print the results, and the command that shows the run."""
    for model, name, run_id in zip("ab", report.names, report.run_ids, strict=True):
        click.echo(f"{model}      {one_line(name)}, run {run_id}")
    click.echo(f"differ {_list_differences(report.tables['differences.csv'])}")
    click.echo(f"       {'metric':<18}{'a':>8}{'b':>8}{'b - a':>10}  paired 95 % interval   b is")
    for row in report.tables["comparison.csv"].itertuples():
        values = f"{row.a:8.4f}{row.b:8.4f}{row.difference:+10.5f}"
        click.echo(f"       {row.metric:<18}{values}  {_interval(row):<21}  {row.b_is}")
    click.echo(f"labels {_describe_labels(report)}")
    if "groups_comparison.csv" in report.tables:
        click.echo(f"groups {_describe_groups(report.tables['groups_comparison.csv'])}")
    click.echo(f"found  {finding(report)}")
    click.echo(f"run    {run.info.run_id}")
    click.echo(f"look   {runs.ui_command()}")
    if report.dataset.origin == "synthetic":
        click.echo("WARNING: these figures are of SYNTHETIC ROWS, not of real ones", err=True)


def _interval(row: Any) -> str:
    return "none" if row.b_is == UNDEFINED else f"[{row.low:+.5f}, {row.high:+.5f}]"


def _list_differences(table: pd.DataFrame) -> str:
    """The hyper-parameters that differ, and a few other records, but none of the models' own."""
    decisive = table[table["kind"] != MODEL]
    n_shown = max(SHOWN, (table["kind"] == HYPERPARAMETER).sum())
    shown = [
        f"{one_line(row.name)[:40]} {_short(row.a)} and {_short(row.b)}"
        for row in decisive.head(n_shown).itertuples(index=False)
    ]
    more = len(decisive) - n_shown
    text = "; ".join(shown) or "in nothing that decides a result, as far as the runs recorded it"
    return text + (f"; {more:,} more in differences.csv" if more > 0 else "")


def _short(value: str) -> str:
    text = one_line(value) or "(none)"
    return text if len(text) <= 32 else f"{text[:14]}...{text[-15:]}"


def _describe_labels(report: Report) -> str:
    differ, right, n_rows = report.labels_differ, report.only_b_right, report.dataset.test.n_rows
    if not differ:
        return f"the same for all {n_rows:,} rows"
    a, b = report.thresholds
    where = f"threshold {a}" if a == b else f"threshold {a} of a and {b} of b"
    return (
        f"{differ:,} of {n_rows:,} differ at {where}: b is right on {right:,} of them, a on "
        f"{differ - right:,}"
    )


def _describe_groups(table: pd.DataFrame) -> str:
    """How many groups tell the accuracy of the models apart, and the groups for which b is worse.

    The groups with the largest loss come first.
    """
    verdict = table["accuracy_b_is"]
    n_better, worse = (verdict == BETTER).sum(), table[verdict == WORSE]
    text = f"accuracy of b is better in {n_better} of {len(table):,}, worse in {len(worse)}"
    shown = [
        f"{one_line(row.feature)[:40]} {one_line(row.group)[:40]} {row.accuracy_difference:+.4f} "
        f"[{row.accuracy_difference_low:+.4f}, {row.accuracy_difference_high:+.4f}] of "
        f"{row.rows:,} rows"
        for row in worse.nsmallest(SHOWN, "accuracy_difference").itertuples(index=False)
    ]
    return text + (f": {', '.join(shown)}" if shown else "")


def describe(report: Report) -> str:
    """The comparison in Markdown."""
    dataset = report.dataset
    warning = "**Synthetic rows: no real people, no conclusions.** "
    models = [
        f"{model}: {escape_markdown(name)}, run `{run_id}`, `{uri}`\n\n"
        for model, name, run_id, uri in zip(
            "ab", report.names, report.run_ids, report.uris, strict=True
        )
    ]
    metrics = [
        f"| {row.metric} | {row.a:.4f} | {row.b:.4f} | {row.difference:+.5f} | "
        f"{_interval(row)} | {row.b_is} |\n"
        for row in report.tables["comparison.csv"].itertuples()
    ]
    records = report.tables["differences.csv"]
    differing = [
        f"| {row.kind} | {escape_markdown(row.name)[:200]} | {escape_markdown(row.a)[:200]} | "
        f"{escape_markdown(row.b)[:200]} |\n"
        for row in records.head(DESCRIBED).itertuples(index=False)
    ]
    return (
        f"{warning if dataset.origin == 'synthetic' else ''}**{finding(report)}** (b minus a, on "
        f"{dataset.test.n_rows:,} rows of {escape_markdown(dataset.qualify(dataset.test.name))}; "
        "in brackets paired 95 % bootstrap intervals).\n\n"
        f"{''.join(models)}Predicted labels: {_describe_labels(report)}.\n\n"
        "| metric | a | b | b - a | interval | b is |\n| --- | --- | --- | --- | --- | --- |\n"
        f"{''.join(metrics)}\n"
        f"The runs differ {'as follows' if differing else 'in nothing that they recorded'}"
        f"{f' (the first {DESCRIBED} of {len(records):,})' if len(records) > DESCRIBED else ''}"
        ".\n\n"
        + ("| kind | name | a | b |\n| --- | --- | --- | --- |\n" if differing else "")
        + "".join(differing)
    )
