"""In every plot of the product, all text is within the figure and tick labels stay apart.

The names of the tables are long or in scripts that matplotlib's own font may lack.
"""

from functools import partial
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from tabular.data.table import CATEGORICAL, NUMERIC, Table
from tabular.evaluation import (
    drift_plots,
    fairness,
    metrics,
    paired,
    paired_plots,
    plot_style,
    plots,
    shap,
    thresholds,
)
from tabular.sweep import plots as sweep_plots

NAMES = {
    "long": "a_name_that_a_warehouse_made_of_those_of_its_joined_tables_and_of_their_columns_1",
    "chinese": "客户的年龄和收入" * 10,
    "arabic": "العمر والدخل السنوي " * 4,
    "devanagari": "आयु और आय " * 8,
    "emoji": "🙂👩‍💻🏳️‍🌈" * 10,
}
FORMULA = "$\\frac{$" * 10
N_ROWS = 100


def draw_run(name: str, n_features: int, n_groups: int) -> dict[str, Figure]:
    """The plots of a run, of a comparison and of scored rows."""
    rng = np.random.default_rng(0)
    y = np.arange(N_ROWS) % 2
    a, b = np.clip(0.5 + 0.3 * (y - 0.5) + rng.normal(0, 0.2, (2, N_ROWS)), 0, 1)
    names = [f"{name} {number}" for number in range(n_features)]
    X = pd.DataFrame(rng.normal(size=(N_ROWS, n_features)), columns=names)
    X[name] = pd.Categorical([f"{name} {number % n_groups}" for number in range(N_ROWS)])
    table = Table(
        name=name,
        columns=dict.fromkeys(names, NUMERIC) | {name: CATEGORICAL},
        label=name,
        negative=f"no {name}",
        positive=f"yes {name}",
        groups=(name,),
    )
    frames = fairness.metric_frames(X[[name]], table, y, 1 * (a >= 0.5))
    tables = {
        "importance.csv": pd.DataFrame({"feature": [*X], "gain": np.geomspace(1e4, 1, X.shape[1])}),
        "groups.csv": fairness.group_table(frames, table),
        "calibration.csv": metrics.reliability_table(y, a),
        "comparison.csv": paired.metric_differences(y, a, b),
        "groups_comparison.csv": paired.group_differences(X[[name]], table, y, a, b),
    }
    curves = {"validation_log_loss": {1: 0.6, 100: 0.5}, "train_log_loss": {1: 0.6, 100: 0.4}}
    values = rng.normal(size=(N_ROWS, X.shape[1] + 1))
    drift = pd.DataFrame({
        "column": [*X, "probability"],
        "psi": np.geomspace(1, 1e-3, X.shape[1] + 1),
        "drift": "large",
        "cell": name,
        "cell_train": 0.1,
        "cell_scored": 0.25,
    })  # fmt: skip
    return {
        **plots.figures(y, a, tables, curves, table, name, 0.123456),
        "plots/threshold.png": thresholds.plot(y, a, 0.123456, name),
        "plots/shap.png": plots.shap(
            X, values, shap.shap_table([*X], values), table.positive, name
        ),
        **paired_plots.figures(y, (a, b), tables, (name, f"{name} 2"), name, (0.5, 0.123456)),
        "plots/drift.png": drift_plots.drift_bars(drift),
    }


def draw_sweep(n_trials: int) -> dict[str, Figure]:
    """The plots of sweeps over lists and ranges, of as many values as there can be."""
    rng = np.random.default_rng(0)
    trials = pd.DataFrame({
        "learning_rate": rng.choice([0.001, 0.0123, 0.05, 0.1, 0.3, 1.0], n_trials),
        "max_depth": rng.integers(3, 30, n_trials),
        "n_estimators": rng.choice([100, 200, 300, 100_000], n_trials),
        "subsample": rng.uniform(0.123456789, 1, n_trials),
        "reg_lambda": np.geomspace(1e-3, 1e3, n_trials),
        "gamma": rng.choice([0, 0.1, 1000], n_trials),
        "grow_policy": rng.choice(["depthwise", "lossguide"], n_trials),
    })  # fmt: skip
    trials["validation_log_loss"] = np.geomspace(0.1, 100, n_trials)
    names = [*trials.columns[:-1]]
    grid = trials.drop_duplicates(names[1:3])
    best = [(f"{FORMULA} {number}", np.geomspace(1, 0.1, 50 + number)) for number in range(5)]
    shares = pd.DataFrame({"hyperparameter": names, "importance": 1 / len(names)})
    few = ["learning_rate", "gamma"]
    return {
        "heat map": sweep_plots.heat_map(grid, names[1:3], "validation_log_loss", True),
        "heat map, all": sweep_plots.heat_map(
            trials.drop_duplicates(names), names, "validation_log_loss", True
        ),
        "slices": sweep_plots.slices(trials, names, "validation_log_loss", True),
        "slices, few": sweep_plots.slices(trials, few, "validation_log_loss", True),
        "curves": sweep_plots.sweep_curves(best, [curve for _, curve in best]),
        "importance": sweep_plots.importance_bars(shares, "validation_log_loss"),
    }


def draw_numbers() -> dict[str, Figure]:
    """Plots of numbers that take much room: many rows, rates near 1, narrow and wide ranges."""
    rng = np.random.default_rng(0)
    calibration = pd.DataFrame({"bin": [0.05, 0.95], "rows": [1, 10**8], "predicted": [0.05, 0.95]})
    calibration[["observed", "observed_low", "observed_high"]] = 0.5
    groups = pd.DataFrame({"feature": "x", "group": [*"ab"], "rows": 10**8})
    for rate in fairness.RATES:
        for end, value in {"": 0.9991, "_low": 0.99907, "_high": 0.99913}.items():
            groups[f"{rate}{end}"] = value
    trials = pd.DataFrame({
        "learning_rate": rng.uniform(0.06, 0.1, 30),
        "reg_alpha": rng.uniform(1e-7, 1e-5, 30),
        "n_estimators": np.arange(1000, 1030),
        "max_bin": rng.choice([2, 65536], 30),
        "log_loss": np.linspace(0.69310, 0.69314, 30),
    })  # fmt: skip
    constant = np.full(300_000, 0.2)
    return {
        "calibration": plots.calibration(calibration, "x"),
        "groups": plots.groups(groups, "x"),
        "log loss": plots.log_loss_curves({"validation_log_loss": {1: 1e-5, 100_000: 1e-6}}),
        "slices": sweep_plots.slices(trials, [*trials.columns[:-1]], "log_loss", True),
        "probabilities": paired_plots.probability_counts(
            (constant, constant), ("a", "b"), "x", (0.5, 0.5)
        ),
    }


CASES = {
    "wide, many features": lambda: draw_run("W" * 80, plots.MAX_FEATURES + 5, 12),
    **{name: partial(draw_run, NAMES[name], 1, 2) for name in NAMES},
    "sweep of 2": lambda: draw_sweep(2),
    "sweep of 100": lambda: draw_sweep(100),
    "numbers": draw_numbers,
}


@pytest.mark.parametrize("case", CASES)
def test_text_is_within_the_figure_and_tick_labels_stay_apart(case):
    defects = []
    for path, figure in CASES[case]().items():
        figure.set_dpi(plot_style.DPI)
        figure.draw_without_rendering()
        boxes = {text: text.get_window_extent() for text in visible_texts(figure)}
        for text, box in boxes.items():
            if (box.min < figure.bbox.min).any() or (box.max > figure.bbox.max).any():
                defects.append((path, "outside", text.get_text()))
        for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
            labels = [text for text in axis.get_ticklabels(which="both") if text in boxes]
            for a, b in combinations(labels, 2):
                if boxes[a].overlaps(boxes[b].padded(-1)):
                    defects.append((path, "overlap", a.get_text(), b.get_text()))
    assert defects == []


def visible_texts(figure: Figure) -> list[Text]:
    """The texts that are drawn; a tick outside of the limits of its axis is not."""
    hidden = set()
    for axes in figure.axes:
        if not axes.get_visible():
            hidden |= {*axes.findobj(Text)}
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                if not low <= tick.get_loc() <= high:
                    hidden |= {tick.label1, tick.label2}
    texts = figure.findobj(Text)
    return [t for t in texts if t.get_visible() and t.get_text().strip() and t not in hidden]
