"""Every picture can be drawn, names what it shows, and is not blank."""

import io

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from tabular.evaluation import fairness, metrics, plots, shap


@pytest.fixture(scope="module")
def figures():
    rng = np.random.default_rng(0)
    y = (rng.random(500) < 0.25).astype(int)
    probability = np.clip(0.25 + 0.4 * (y - 0.25) + rng.normal(0, 0.1, 500), 0, 1)
    X = pd.DataFrame({"age": rng.integers(17, 90, 500).astype(np.float32)})
    X["sex"] = pd.Categorical(rng.choice(["Female", "Male"], 500))
    X["race"] = pd.Categorical(
        rng.choice(["a rather long name of a people", "B"], 500, p=[0.02, 0.98])
    )
    tables = {
        "importance.csv": pd.DataFrame({"feature": ["capital-gain", "age"], "gain": [3.0, 0.0]}),
        "groups.csv": fairness.group_table(fairness.metric_frames(X, y, probability >= 0.5)),
        "calibration.csv": metrics.reliability_table(y, probability),
    }
    curves = {"validation_log_loss": [0.6, 0.5], "train_log_loss": [0.6, 0.4, 0.3]}
    drawn = plots.figures(y, probability, tables, curves, "the test rows")
    values = rng.normal(size=(500, 4))
    table = shap.shap_table([*X], values)
    return drawn | {"plots/shap.png": plots.shap(X, values, table, "the test rows")}


def test_importance_stands_at_the_root_and_the_others_in_a_folder(figures):
    assert [path for path in figures if "/" not in path] == ["importance.png"]
    assert {path.split("/")[0] for path in figures if "/" in path} == {"plots"}
    assert len(figures) == 8


def test_pictures_are_drawn_within_their_frames(figures):
    """Fixed margins must leave room for every label."""
    for path, figure in figures.items():
        file = io.BytesIO()
        figure.savefig(file, dpi=60)
        file.seek(0)
        pixels = matplotlib.image.imread(file)[..., :3]
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20, path
        border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        assert border.min() == 1, f"{path}: something reaches the edge"


def test_pictures_name_what_they_show(figures):
    titles = {path: figure.axes[0].get_title() for path, figure in figures.items()}
    for path in ("roc", "precision_recall", "calibration", "confusion_matrix", "shap"):
        assert titles[f"plots/{path}.png"].endswith("the test rows")
    labels = [text.get_text() for text in figures["importance.png"].axes[0].get_yticklabels()]
    assert labels == ["capital-gain", "age"]
    names = [text.get_text() for text in figures["plots/groups.png"].axes[0].get_yticklabels()]
    assert names[0].startswith("Female (")
    assert len(names) == 2 + 2 + 6 + 4
    legend = figures["plots/log_loss.png"].axes[0].get_legend()
    assert [t.get_text() for t in legend.get_texts()] == ["validation_log_loss", "train_log_loss"]


def test_slices_show_every_trial_in_a_panel_for_each_hyperparameter():
    rng = np.random.default_rng(0)
    names = ["learning_rate", "max_depth", "gamma", "subsample", "reg_lambda"]
    trials = pd.DataFrame(rng.uniform(0.1, 1, (40, 5)), columns=names)
    trials["validation_log_loss"] = np.sort(rng.uniform(0.2, 0.4, 40))
    figure = plots.slices(trials, names, "validation_log_loss", True)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_xlabel() for axes in shown] == names
    assert [axes.get_xscale() for axes in shown] == ["log", "linear", "log", "linear", "log"]
    for axes, name in zip(shown, names, strict=True):
        assert axes.collections[0].get_offsets()[:, 0].tolist() == trials[name].tolist()
    assert plots.png(plots.slices(trials.head(1), [], "validation_log_loss", True))


def test_calibration_points_are_shares_of_their_bins():
    """So many rows that a sum of labels no longer fits their 8 bits."""
    y = np.array([0, 1, 1, 1] * 100, np.int8)
    p = np.array([0.05, 0.05, 0.95, 1.0] * 100, np.float32)
    line = plots.calibration(metrics.reliability_table(y, p), "x").axes[0].lines[1]
    assert np.allclose(line.get_xydata(), [[0.05, 0.5], [0.975, 1.0]])


@pytest.mark.parametrize("name", ["$\\frac{$", "a\nb", "\x01", "x" * 30_000])
def test_a_group_may_have_any_name(name):
    """A category of the data, of which nobody expects a formula."""
    X = pd.DataFrame({"sex": [name, "b"] * 20, "race": ["a"] * 40, "age": np.full(40, 30.0)})
    y = np.arange(40) % 2
    figure = plots.groups(fairness.group_table(fairness.metric_frames(X, y, y)), "rows")
    shown = figure.axes[0].get_yticklabels()[1].get_text()
    assert shown.isprintable() and len(shown) < 80
    assert plots.png(figure)[1:4] == b"PNG"


def test_of_very_many_groups_the_largest_are_drawn():
    """Thousands of lines are more pixels than a picture may have."""
    n_groups = 5000
    columns = {
        "feature": "sex",
        "group": [f"{n}" for n in range(n_groups)],
        "rows": range(n_groups),
    }
    names = [f"{rate}{end}" for rate in fairness.RATES for end in ("", "_low", "_high")]
    table = pd.DataFrame(columns | dict.fromkeys(names, 0.5))
    figure = plots.groups(table, "rows")
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == [f"{n} ({n:,})" for n in range(n_groups - plots.MAX_GROUPS, n_groups)]
    assert f"by group, the {plots.MAX_GROUPS} largest" in figure.get_suptitle()
    assert plots.png(figure)[1:4] == b"PNG"


@pytest.mark.parametrize(("varied", "corner"), [
    (["max_depth", "learning_rate"], (1, 1)), (["max_depth"], (0, 1)), ([], (0, 0)),
])  # fmt: skip
def test_the_chosen_point_is_framed_though_others_are_as_good(varied, corner):
    points = [(6, 0.1, 0.3), (3, 0.05, 0.3), (3, 0.1, 0.3), (6, 0.05, 0.4)][:: 3 - len(varied)]
    points = points if varied else points[:1]
    outcomes = pd.DataFrame(points, columns=["max_depth", "learning_rate", "loss"])
    outcomes = outcomes.astype({"max_depth": "Int64"})  # as a leaderboard has it
    figure = plots.heat_map(outcomes, varied, "loss", less_is_better=True)
    (frame,) = (p for p in figure.axes[0].patches if not p.get_fill())
    assert frame.get_xy() == corner
