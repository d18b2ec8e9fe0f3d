"""The model's own page in Markdown: what it is and how it was made, how good it is, its use."""

from collections.abc import Mapping

import pandas as pd
import xgboost

from tabular import reporting
from tabular.data import census
from tabular.data.dataset import Dataset
from tabular.errors import escape_markdown
from tabular.evaluation.bootstrap import interval_names
from tabular.evaluation.metrics import constant_metrics
from tabular.tracking import logged_model

SHOWN = 8  # columns of groups in the table
RATES = ("accuracy", "selection_rate")
SMALL_GROUP = 100  # fewer test rows than this are named as a limit
ORIGINS = {
    "uci": census.ABOUT,
    "synthetic": "Rows that this project generated.",
    "directory": "Files of the user; their licence is not known to this project.",
}


def write(
    uri: str,
    dataset: Dataset,
    booster: xgboost.Booster,
    config: Mapping[str, int | float],
    metrics: Mapping[str, float],
    tables: Mapping[str, pd.DataFrame],
    summary: str,
    chosen: str,
) -> str:
    """The card.

    Args:
        uri: address of the model, for the commands.
        config: the hyper-parameters, as they were asked for.
        metrics: of the test rows, and what was measured while the model was made.
        tables: the findings and, where there are some, the groups, by the name of the file.
        summary: the result and the findings in Markdown, as ``reporting.summarize`` returns them.
        chosen: how a search chose the configuration, in Markdown; empty: there was none.
    """
    table, groups, n_trees = dataset.table, tables.get("groups.csv"), booster.num_boosted_rounds()
    n_averaged = config["num_parallel_tree"]
    rounds = "trees" if n_averaged == 1 else f"rounds, each of {n_averaged:,} averaged trees,"
    hyperparameters = ", ".join(f"`{name}={value}`" for name, value in config.items())
    if tables["diagnosis.csv"].empty:
        summary += "The checks of the model and of its data found nothing.\n"
    sections = {
        "Results on test rows": _describe_results(dataset, metrics),
        "Groups": "" if groups is None else _describe_groups(groups),
        "Limits": _describe_limits(dataset, groups),
        "Use": _describe_use(uri),
        "Data": _describe_data(dataset),
        "Model": f"{n_trees:,} {rounds} of XGBoost; hyper-parameters: {hyperparameters}.\n\n"
        f"{logged_model.describe_columns(table)}",
        "How it was chosen": chosen.strip() or _describe_choice(metrics),
    }
    title = f"# {escape_markdown(table.label)} ({escape_markdown(table.name)})"
    text = f"{title}\n\n{summary.strip()}"
    text += "".join(f"\n\n## {title}\n\n{body}" for title, body in sections.items() if body)
    return text + "\n"


def _describe_results(dataset: Dataset, test_metrics: Mapping[str, float]) -> str:
    """All metrics with an interval, beside those of a constant prediction."""
    train, test = dataset.train, dataset.test
    share = train.n_positive / train.n_rows
    constant = constant_metrics(share, test.n_positive / test.n_rows)
    rows = [
        f"| {name} | {value:.4f} | {_interval(test_metrics, name)} | {_number(constant, name)} |"
        for name, value in test_metrics.items()
        if _interval(test_metrics, name) or name in ("precision", "expected_calibration_error")
    ]
    return "\n".join([
        "| metric | value | 95 % interval | constant prediction |",
        "| --- | --- | --- | --- |",
        *rows,
        f"\nThe constant is {share:.4f}, the share of {escape_markdown(dataset.table.positive)} "
        "among the training rows.",
    ])  # fmt: skip


def _number(values: Mapping[str, float], name: str) -> str:
    return f"{values[name]:.4f}" if name in values else ""


def _interval(values: Mapping[str, float], name: str) -> str:
    low, high = (_number(values, end) for end in interval_names(name))
    return f"[{low}, {high}]" if low else ""


def _describe_groups(groups: pd.DataFrame) -> str:
    """Of each column of groups, those with the lowest and the highest rates."""
    features = {str(name): rows for name, rows in groups.groupby("feature", sort=False)}
    largest = {rate: max(_range(rows[rate]) for rows in features.values()) for rate in RATES}
    lines = []
    for name, rows in [*features.items()][:SHOWN]:
        for rate, most in largest.items():
            low, high = (rows.loc[row] for row in (rows[rate].idxmin(), rows[rate].idxmax()))
            ends = f"{_describe_group(low, rate)} | {_describe_group(high, rate)}"
            mark = "**" * (_range(rows[rate]) == most)
            difference = f"{mark}{_range(rows[rate]):.3f}{mark}"
            by = f"{escape_markdown(name[:40])} ({len(rows):,})"
            lines.append(f"| {by} | {rate.replace('_', ' ')} | {ends} | {difference} |")
    more = f", and the first {SHOWN} of {len(features):,} columns" if len(features) > SHOWN else ""
    return "\n".join([
        "| groups by | rate | lowest | highest | difference |",
        "| --- | --- | --- | --- | --- |",
        *lines,
        f"\nIn brackets 95 % intervals, in bold the largest difference of a rate{more}; the run's "
        "groups.csv has every group.",
    ])  # fmt: skip


def _range(values: pd.Series) -> float:
    return float(values.max() - values.min())


def _describe_group(group: pd.Series, rate: str) -> str:
    low, high = (f"{group[f'{rate}_{end}']:.3f}" for end in ("low", "high"))
    name = escape_markdown(str(group["group"])[:40])
    return f"{name}: {group[rate]:.3f} [{low}, {high}], {group['rows']:,} rows"


def _describe_limits(dataset: Dataset, groups: pd.DataFrame | None) -> str:
    """What the model, or its figures, cannot tell, as far as it follows from facts."""
    table = dataset.table
    limits = [census.LIMITS] if dataset.origin == "uci" else []
    if note := reporting.rare_note(dataset.train):
        limits.append(f"{note[0].upper()}{note[1:]}.")
    if dataset.train.name == dataset.test.name:
        limits.append("The test rows are a part of the same file as the training rows.")
    limits.append(
        "The intervals are for rows drawn as the test rows were; they do not cover other "
        "populations, or changes since."
    )
    if groups is None:
        groups = pd.DataFrame({"rows": []})
        limits.append("No columns of groups were named: differences between groups are unknown.")
    if used := [name for name in table.groups if name in table.columns]:
        limits.append(f"The model uses columns of groups: {reporting.list_names(used)}.")
    small = groups[groups["rows"] < SMALL_GROUP]
    if len(small):
        limits.append(
            f"Groups of fewer than {SMALL_GROUP} test rows, whose rates are uncertain: "
            f"{len(small):,} of {len(groups):,}."
        )
    return "\n".join(f"- {escape_markdown(limit)}" for limit in limits)


def _describe_data(dataset: Dataset) -> str:
    """Origin, size and digest of the rows; nothing is said that is not known."""
    sizes = [
        f"{split.n_rows:,} {kind} rows ({split.n_positive / split.n_rows:.1%} are "
        f"{escape_markdown(dataset.table.positive)})"
        for kind, split in (("training", dataset.train), ("test", dataset.test))
    ]
    return f"{ORIGINS[dataset.origin]}\n\n{' and '.join(sizes)}, digest `{dataset.digest}`."


def _describe_use(uri: str) -> str:
    """Commands that load, serve and score, for a user whose store has the model."""
    return (
        "With `MLFLOW_TRACKING_URI` set to the store that has the model; the third command in a "
        "clone of this project:\n\n"
        f"```sh\nmlflow models serve -m {uri} --env-manager local --port 5001\n"
        f"mlflow models predict -m {uri} --env-manager local -t csv -i rows.csv\n"
        f"python score.py --model {uri} --input rows.csv --output scored.csv\n```\n\n"
        f'```python\nmlflow.pyfunc.load_model("{uri}").predict(pandas.read_csv("rows.csv"))\n```'
    )


def _describe_choice(metrics: Mapping[str, float]) -> str:
    """How a single run arrived at its configuration."""
    if "best_n_estimators" in metrics:
        return (
            f"The configuration was given, and early stopping chose "
            f"{int(metrics['best_n_estimators']):,} rounds by the log loss on a fifth of the "
            "training rows, which was held out for this."
        )
    if "threshold" in metrics:  # the summary says where it comes from
        return "The configuration was given."
    return "The configuration was given; nothing was chosen on data."
