"""Plots of one model's predictions for one split, as matplotlib figures.

In every function ``dataset_name`` names the rows in the title, and ``y_true`` and ``probability``
are as in ``tabular.evaluation.metrics``.
"""

from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from tabular.data.table import Table
from tabular.evaluation.fairness import RATES
from tabular.evaluation.metrics import (
    BINS,
    average_precision,
    calibration_error,
    is_positive,
    precision_recall_curve,
    ranking_counts,
    roc_auc,
    roc_curve,
)
from tabular.evaluation.plot_style import (
    BLUE,
    GREY,
    LINE,
    MARGIN,
    ORANGE,
    SOFT_INK,
    bars,
    cells,
    error_bars,
    leads,
    new_figure,
    space_ticks,
)
from tabular.evaluation.plot_text import inches, shown, wrapped

MAX_FEATURES = 25  # in a plot
MAX_GROUPS = 200  # in a plot; a few thousand would be more pixels than a PNG can have


def figures(
    y_true: np.ndarray,
    probability: np.ndarray,
    tables: dict[str, pd.DataFrame],
    curves: dict[str, dict[int, float]],
    table: Table,
    dataset_name: str,
    threshold: float = 0.5,
) -> dict[str, Figure]:
    """All plots of a run but that of the SHAP values, by the path of the artifact.

    Args:
        tables: what ``shap.importance_table``, ``fairness.group_table`` and
            ``metrics.reliability_table`` return, by the name of the file.
        curves: log loss by boosting round, by the name of the metric.
    """
    labels = [shown(table.negative), shown(table.positive)]
    dataset_name = shown(dataset_name)
    ranking = ranking_counts(y_true, probability)
    found = {
        "importance.png": importance_bars(tables["importance.csv"]),
        "plots/roc.png": roc(*ranking, dataset_name),
        "plots/precision_recall.png": precision_recall(*ranking, dataset_name),
        "plots/calibration.png": calibration(tables["calibration.csv"], dataset_name),
        "plots/confusion_matrix.png": confusion_matrix(
            y_true, probability, labels, dataset_name, threshold
        ),
        "plots/log_loss.png": log_loss_curves(curves),
    }
    if "groups.csv" in tables:
        found["plots/groups.png"] = groups(
            tables["groups.csv"], dataset_name, finding=widest_gap(tables["groups.csv"])
        )
    return found


def importance_bars(importance: pd.DataFrame) -> Figure:
    """Gain of the ``MAX_FEATURES`` most important features, from ``shap.importance_table``."""
    what = "Feature importance: mean gain of a split"
    if len(importance) > MAX_FEATURES:
        what += f", the {MAX_FEATURES} most important of {len(importance):,} features"
        importance = importance.head(MAX_FEATURES)
    names, gain = [*map(shown, importance["feature"])], importance["gain"]
    finding = f"Splits by {names[0]} gain most" if leads(gain) else ""
    figure, axes = bars(finding, what, names, 5)
    drawn = axes.barh(range(len(gain)), gain, color=BLUE)
    texts = [f"{value:,.0f}" if value >= 1000 else f"{value:.3g}" for value in gain]
    axes.bar_label(drawn, texts, padding=3, color=SOFT_INK, fontsize=9)
    axes.set_xlabel("gain (log loss)")
    axes.margins(x=0.12)
    return figure


def roc(hits: np.ndarray, false_alarms: np.ndarray, dataset_name: str) -> Figure:
    """The ROC curve; its points are as ``metrics.ranking_counts`` returns them."""
    figure = new_figure(f"AUC {roc_auc(hits, false_alarms):.4f}", f"ROC curve, {dataset_name}")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1.5, label="chance (AUC 0.5)")
    axes.plot(*roc_curve(hits, false_alarms), color=BLUE, label="model")
    axes.set(xlabel="false positive rate", ylabel="true positive rate")
    axes.legend(loc="lower right")
    return figure


def precision_recall(hits: np.ndarray, false_alarms: np.ndarray, dataset_name: str) -> Figure:
    """The precision-recall curve; its points are as ``metrics.ranking_counts`` returns them."""
    chance = hits[-1] / (hits[-1] + false_alarms[-1])
    figure = new_figure(
        f"Average precision {average_precision(hits, false_alarms):.4f}",
        f"Precision-recall curve, {dataset_name}",
    )
    axes = figure.add_subplot()
    axes.axhline(chance, ls="--", color=GREY, linewidth=1.5, label=f"chance (AP {chance:.3f})")
    axes.plot(*precision_recall_curve(hits, false_alarms), color=BLUE, label="model")
    axes.set(xlabel="recall", ylabel="precision", ylim=(0, 1.02))
    axes.legend(loc="lower left")
    return figure


def calibration(reliability: pd.DataFrame, dataset_name: str) -> Figure:
    """Predicted against observed frequency with intervals, from ``metrics.reliability_table``."""
    top = reliability["rows"].max() * 2.5
    figure = new_figure(
        f"Probabilities are off by {calibration_error(reliability):.4f} on average",
        f"Calibration, {dataset_name}",
        right=MARGIN + 0.4 + inches([f"{top:,.0f}"]),
    )
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1.5, label="perfectly calibrated")
    axes.errorbar(
        reliability["predicted"],
        reliability["observed"],
        error_bars(reliability, "observed"),
        fmt="o-",
        color=BLUE,
        capsize=3,
        label="model, with 95 % intervals",
    )
    axes.set(xlabel="predicted probability", ylabel="share of positives")
    axes.legend(loc="upper left")
    counts = axes.twinx()
    counts.bar(reliability["bin"], reliability["rows"], width=0.9 / BINS, color=GREY, alpha=0.25)
    counts.set(ylabel="number of rows (bars)", ylim=(0, top))
    counts.yaxis.set_major_formatter("{x:,.0f}")
    counts.grid(visible=False)
    return figure


def confusion_matrix(
    y_true: np.ndarray,
    probability: np.ndarray,
    labels: list[str],
    dataset_name: str,
    threshold: float = 0.5,
) -> Figure:
    """True against predicted labels at a threshold: counts, and shares of the true label."""
    numbers = 2 * (y_true == 1) + is_positive(probability, threshold)
    counts = np.bincount(numbers, minlength=4).reshape(2, 2)
    shares = counts / counts.sum(axis=1, keepdims=True)
    texts = [f"{n:,}\n{p:.1%}" for n, p in zip(counts.flat, shares.flat, strict=True)]
    names = ["\n".join(wrapped(label, 1.8)) for label in labels]
    left = MARGIN + 0.35 + inches("\n".join(names).split("\n"))
    figure = new_figure(
        f"{np.trace(counts) / counts.sum():.1%} of the labels are right",
        f"Confusion matrix at threshold {threshold}, {dataset_name}: rows, and % of the true label",
        (4.2, 2.6),
        left,
        bottom=0.85,
    )
    axes = figure.add_subplot()
    colors = matplotlib.colormaps["Blues"]
    cells(axes, pd.DataFrame(shares), np.reshape(texts, (2, 2)), colors, Normalize(0, 1))
    axes.set_xticks([0.5, 1.5], names)
    axes.set_yticks([0.5, 1.5], names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    return figure


def log_loss_curves(curves: dict[str, dict[int, float]]) -> Figure:
    finding = ""
    if values := curves.get("validation_log_loss"):
        best = min(values, key=values.__getitem__)
        finding = f"Validation log loss is lowest in round {best:,}: {values[best]:.4f}"
    figure = new_figure(finding, "Log loss by boosting round", above=0.12)
    axes = figure.add_subplot()
    for (name, values), color in zip(curves.items(), (BLUE, ORANGE), strict=False):
        marker = "o" if len(values) == 1 else None  # a line needs two rounds
        axes.plot([*values], [*values.values()], color=color, marker=marker, label=name)
    axes.set(xlabel="boosting round", ylabel="log loss")
    axes.locator_params(axis="x", integer=True, min_n_ticks=1)
    axes.legend(loc="upper right")
    return figure


def groups(
    table: pd.DataFrame,
    dataset_name: str,
    kind: str = "Rates",
    columns: Sequence[str] = RATES,
    finding: str = "",
) -> Figure:
    """Rates by group with their intervals, from ``fairness.group_table``.

    Args:
        table: that one, or another with a row for each group.
        kind: what the columns are, for the title.
        columns: of the table, one for each panel.
        finding: for the title.
    """
    largest = table["rows"].nlargest(MAX_GROUPS).index
    what = "group" if len(largest) == len(table) else f"group, the {MAX_GROUPS} largest"
    table = table.loc[largest.sort_values()]
    counted = zip(table["group"], table["rows"], strict=True)
    names = [f"{shown(group, 60)} ({n_rows:,})" for group, n_rows in counted]
    is_first = table["feature"] != table["feature"].shift()
    places = np.arange(len(table)) + is_first.cumsum()  # a line for the name of each feature
    features = [shown(feature) for feature in table["feature"][is_first]]
    figure = new_figure(
        finding,
        f"{kind} by {what} (number of rows), with 95 % intervals, {dataset_name}",
        (1.8 * len(columns) + 0.4, LINE * (places.iloc[-1] + 1.4)),
        left=MARGIN + 0.1 + max(inches(names), 1.15 * inches(features)),
        bottom=0.4,
        above=0.25,
    )
    panels = figure.subplots(1, len(columns), sharey=True, gridspec_kw={"wspace": 0.22})
    for axes, rate in zip(panels, columns, strict=True):
        ends = error_bars(table, rate)
        axes.errorbar(table[rate], places, xerr=ends, fmt="o", color=BLUE, ms=4, linewidth=1.5)
        axes.set(title=rate.replace("_", " "), yticks=places)
        axes.set_yticklabels(names)
        axes.locator_params(axis="x", nbins=3)
        space_ticks(axes)
        axes.grid(axis="y", visible=False)
    axes.set_ylim(places.iloc[-1] + 0.7, -0.7)
    beside = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
    for feature, place in zip(features, places[is_first] - 1, strict=True):
        heading = panels[0].annotate(feature, (0, place), (-3.5, 0), **beside)
        heading.set(ha="right", va="center", weight="bold")
    return figure


def widest_gap(table: pd.DataFrame) -> str:
    """The rate that differs most between two groups whose intervals do not overlap.

    Args:
        table: as ``fairness.group_table`` returns it.

    Returns:
        A sentence; empty if all intervals of each rate and feature overlap.
    """
    widest, finding = 0.0, ""
    for rate in RATES:
        for feature, rows in table.groupby("feature", sort=False):
            low, high = rows[f"{rate}_low"], rows[f"{rate}_high"]
            if not low.max() - high.min() > widest:  # or they are undefined
                continue
            widest = low.max() - high.min()
            ends = (rows.loc[place] for place in (high.idxmin(), low.idxmax()))
            shares = ", ".join(f"{shown(row['group'])} {row[rate]:.2f}" for row in ends)
            finding = f"The {rate.replace('_', ' ')} differs most by {shown(feature)}: {shares}"
    return finding


def shap(
    X: pd.DataFrame, values: np.ndarray, table: pd.DataFrame, positive: str, dataset_name: str
) -> Figure:
    """SHAP values, one dot for each row and feature, coloured by the rank of a numeric feature.

    The plot has the features with the largest mean absolute values, at most ``MAX_FEATURES``.

    Args:
        X: the rows, (n_samples, n_features).
        values: (n_samples, n_features + 1), as ``shap.shap_values`` returns them.
        table: as ``shap.shap_table`` returns it.
        positive: the label whose probability is predicted.
    """
    means = table["mean_abs_shap"]
    table = table.head(MAX_FEATURES)
    names = [*map(shown, table["feature"])]
    finding = ""
    if leads(means):
        finding = f"{names[0]} has the largest effect: {means[0]:.2f} on average"
    what = (
        f"SHAP values of {len(X):,} rows of {shown(dataset_name)}; "
        "dark: low value, bright: high, grey: category or missing"
    )
    figure, axes = bars(finding, what, names, 6)
    colors = {"cmap": matplotlib.colormaps["viridis"].with_extremes(bad=GREY)}
    rng = np.random.default_rng(0)
    for place, name in enumerate(table["feature"]):
        contributions, column = values[:, X.columns.get_loc(name)], X[name]
        # dots spread in proportion to the number of rows with about the same SHAP value
        counts, edges = np.histogram(contributions.astype(float), 60)
        density = counts[np.clip(np.digitize(contributions, edges) - 1, 0, 59)] / counts.max()
        y = place + rng.uniform(-0.4, 0.4, len(X)) * density
        numeric = pd.api.types.is_numeric_dtype(column)
        color = {"c": column.rank(pct=True), **colors} if numeric else {"color": GREY}
        axes.scatter(contributions, y, s=3, linewidths=0, plotnonfinite=True, **color)
    axes.set_xlabel(f"SHAP value in log odds of {shown(positive)}")
    return figure
