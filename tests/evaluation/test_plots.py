"""Plots of a run: every plot fits its figure, names what it shows, and is not blank."""

import io
import os
import signal
import subprocess
import sys

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from tabular import cancel
from tabular.data.census import CENSUS
from tabular.evaluation import fairness, metrics, plot_style, plots, shap
from tests.helpers import PROJECT


@pytest.fixture(scope="module")
def figures():
    rng = np.random.default_rng(0)
    y = (rng.random(500) < 0.25).astype(int)
    probability = np.clip(0.25 + 0.4 * (y - 0.25) + rng.normal(0, 0.1, 500), 0, 1)
    X = pd.DataFrame({"age": rng.integers(17, 90, 500).astype(np.float32)})
    X["sex"] = pd.Categorical(rng.choice(["Female", "Male"], 500))
    X["race"] = pd.Categorical(
        rng.choice(["a rather long name of a group", "B"], 500, p=[0.02, 0.98])
    )
    tables = {
        "importance.csv": pd.DataFrame({"feature": ["capital-gain", "age"], "gain": [3.0, 0.0]}),
        "groups.csv": fairness.group_table(
            fairness.metric_frames(X[["sex", "race", "age"]], CENSUS, y, probability >= 0.5), CENSUS
        ),
        "calibration.csv": metrics.reliability_table(y, probability),
    }
    curves = {
        "validation_log_loss": {1: 0.6, 2: 0.5},
        "train_log_loss": {1: 0.6, 2: 0.4, 10: 0.3},
    }
    drawn = plots.figures(y, probability, tables, curves, CENSUS, "adult.test")
    values = rng.normal(size=(500, 4))
    table = shap.shap_table([*X], values)
    return drawn | {"plots/shap.png": plots.shap(X, values, table, ">50K", "adult.test")}


def text_of(text):
    return text.get_text()


def test_importance_is_at_the_root_and_the_other_plots_in_a_folder(figures):
    assert [path for path in figures if "/" not in path] == ["importance.png"]
    assert {path.split("/")[0] for path in figures if "/" in path} == {"plots"}
    assert len(figures) == 8


def test_fixed_margins_leave_room_for_every_label(figures):
    for path, figure in figures.items():
        file = io.BytesIO()
        figure.savefig(file, dpi=60)
        file.seek(0)
        pixels = matplotlib.image.imread(file)[..., :3]
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20, path
        border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        assert border.min() == 1, f"{path}: something reaches the edge"


def test_plots_name_the_dataset_and_what_they_show(figures):
    for path in ("roc", "precision_recall", "calibration", "confusion_matrix", "shap", "groups"):
        assert "adult.test" in " ".join(map(text_of, figures[f"plots/{path}.png"].texts))
    labels = [text.get_text() for text in figures["importance.png"].axes[0].get_yticklabels()]
    assert labels == ["capital-gain", "age"]
    names = [text.get_text() for text in figures["plots/groups.png"].axes[0].get_yticklabels()]
    assert names[0].startswith("Female (")
    assert len(names) == 2 + 2 + 6 + 4
    headings = [text.get_text() for text in figures["plots/groups.png"].axes[0].texts]
    assert headings == ["sex", "race", "age", "sex_race"]
    legend = figures["plots/log_loss.png"].axes[0].get_legend()
    assert [t.get_text() for t in legend.get_texts()] == ["validation_log_loss", "train_log_loss"]


def test_log_loss_is_drawn_at_its_rounds(figures):
    lines = figures["plots/log_loss.png"].axes[0].lines
    assert [line.get_xdata().tolist() for line in lines] == [[1, 2], [1, 2, 10]]


def test_calibration_shows_predicted_against_observed_of_each_bin():
    y, p = np.array([0, 1, 1, 1], np.int8), np.array([0.05, 0.05, 0.95, 1.0], np.float32)
    line = plots.calibration(metrics.reliability_table(y, p), "adult.test").axes[0].lines[1]
    assert np.allclose(line.get_xydata(), [[0.05, 0.5], [0.975, 1.0]])


@pytest.mark.parametrize("name", ["$\\frac{$", "a\nb", "\x01", "x" * 30_000])
def test_a_group_may_have_any_name(name):
    """A category may hold what matplotlib takes for a formula."""
    X = pd.DataFrame({"sex": [name, "b"] * 20, "race": ["a"] * 40, "age": np.full(40, 30.0)})
    y = np.arange(40) % 2
    frames = fairness.metric_frames(X, CENSUS, y, y)
    figure = plots.groups(fairness.group_table(frames, CENSUS), "adult.test")
    shown = figure.axes[0].get_yticklabels()[1].get_text()
    assert shown.isprintable() and len(shown) < 80
    assert plot_style.png(figure)[1:4] == b"PNG"


def test_the_largest_of_very_many_groups_are_shown():
    """Thousands of lines are more pixels than a PNG can have."""
    n_groups = 5000
    columns = {
        "feature": "sex",
        "group": [f"{n}" for n in range(n_groups)],
        "rows": range(n_groups),
    }
    names = [f"{rate}{end}" for rate in fairness.RATES for end in ("", "_low", "_high")]
    figure = plots.groups(pd.DataFrame(columns | dict.fromkeys(names, 0.5)), "adult.test")
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == [f"{n} ({n:,})" for n in range(n_groups - plots.MAX_GROUPS, n_groups)]
    assert f"by group, the {plots.MAX_GROUPS} largest" in figure.get_suptitle().replace("\n", " ")
    assert plot_style.png(figure)[1:4] == b"PNG"


def test_cancellation_is_checked_before_a_plot_is_drawn(figures, monkeypatch):
    monkeypatch.setattr(cancel, "_received", signal.SIGINT)
    with pytest.raises(cancel.Cancelled):
        plot_style.png(figures["importance.png"])


def test_the_backend_of_a_notebook_need_not_be_installed():
    """A notebook exports it to its commands, and matplotlib refuses one that it cannot find."""
    environment = os.environ | {"MPLBACKEND": "module://not_installed.backend_inline"}
    subprocess.run(
        [sys.executable, "-c", "import tabular.evaluation.plots"],
        env=environment,
        cwd=PROJECT,
        check=True,
    )


def test_log_loss_of_one_round_is_a_dot_at_a_whole_round():
    (axes,) = plots.log_loss_curves({"train_log_loss": {1: 0.5}}).axes
    assert axes.lines[0].get_marker() == "o"
    assert all(tick % 1 == 0 for tick in axes.get_xticks())
