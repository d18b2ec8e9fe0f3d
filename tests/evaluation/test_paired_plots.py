"""Plots of a comparison: every plot fits its figure, names what it shows, and is not blank."""

import io

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from tabular.data.census import CENSUS
from tabular.evaluation import paired, paired_plots, plot_style
from tests.helpers import SCORES

NAMES = ("depth=3 rate=0.1", "a name of $\\frac{$ and <b>")


def draw(a, b, y):
    """The plots of the comparison of two models on the same rows."""
    rng = np.random.default_rng(0)
    groups = pd.DataFrame({
        "sex": rng.choice(["Female", "Male"], len(y)),
        "race": rng.choice(["a rather long name of a group", "B"], len(y), p=[0.02, 0.98]),
        "age": rng.integers(17, 90, len(y)),
    })  # fmt: skip
    tables = {
        "comparison.csv": paired.metric_differences(y, a, b),
        "groups_comparison.csv": paired.group_differences(groups, CENSUS, y, a, b),
    }
    return paired_plots.figures(y, (a, b), tables, NAMES, "adult.test")


@pytest.fixture(scope="module")
def figures():
    rng = np.random.default_rng(0)
    y = (rng.random(500) < 0.25).astype(int)
    a, b = (np.clip(0.25 + 0.4 * (y - 0.25) + rng.normal(0, s, 500), 0, 1) for s in (0.1, 0.3))
    return draw(a, b, y)


def test_fixed_margins_leave_room_for_every_label(figures):
    for path, figure in figures.items():
        file = io.BytesIO()
        figure.savefig(file, dpi=60)
        file.seek(0)
        pixels = matplotlib.image.imread(file)[..., :3]
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20, path
        border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        assert border.min() == 1, f"{path}: something reaches the edge"


def test_both_models_are_in_every_panel_of_the_curves(figures):
    for axes in figures["plots/curves.png"].axes:
        labels = [text.get_text() for text in axes.get_legend().get_texts()]
        assert [label[:2] for label in labels[1:]] in (["a ", "b "], ["a,", "b,"])


def test_differences_say_their_direction_and_which_rows_they_are_of(figures):
    axes = figures["plots/differences.png"].axes[0]
    assert axes.get_xlabel().startswith("b - a")
    assert "adult.test" in figures["plots/differences.png"].texts[1].get_text()
    assert len(axes.get_yticklabels()) == len(SCORES)
    by_group = figures["plots/groups_differences.png"]
    assert by_group.texts[1].get_text().startswith("Differences b - a by group (number of rows)")


def test_equal_models_and_constant_predictions_can_be_drawn():
    y = np.array([0, 1] * 20)
    constant = np.full(40, 0.2, np.float32)
    for figure in draw(constant, constant, y).values():
        assert plot_style.png(figure)[1:4] == b"PNG"
