"""Plots of a sweep's trials."""

import numpy as np
import pandas as pd
import pytest

from tabular.evaluation.plot_style import png
from tabular.sweep import plots


@pytest.mark.parametrize(("varied", "corner"), [
    (["max_depth", "learning_rate"], (1, 1)), (["max_depth"], (0, 1)), ([], (0, 0)),
])  # fmt: skip
def test_heat_map_frames_the_best_trial_even_if_others_are_as_good(varied, corner):
    rows = [(6, 0.1, 0.3), (3, 0.05, 0.3), (3, 0.1, 0.3), (6, 0.05, 0.4)][:: 3 - len(varied)]
    rows = rows if varied else rows[:1]
    trials = pd.DataFrame(rows, columns=["max_depth", "learning_rate", "loss"])
    trials = trials.astype({"max_depth": "Int64"})  # as in the table of a sweep
    figure = plots.heat_map(trials, varied, "loss", less_is_better=True)
    (frame,) = (p for p in figure.axes[0].patches if not p.get_fill())
    assert frame.get_xy() == corner


def test_slices_have_a_panel_for_each_hyperparameter_with_every_trial():
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


def test_a_slice_of_a_text_has_the_texts_on_its_axis():
    trials = pd.DataFrame({"grow_policy": ["lossguide", "depthwise"], "loss": [0.3, 0.4]})
    (axes,) = plots.slices(trials, ["grow_policy"], "loss", True).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["lossguide", "depthwise"]


def test_slices_can_be_drawn_without_varied_hyperparameters():
    trials = pd.DataFrame({"max_depth": [3], "validation_log_loss": [0.3]})
    assert png(plots.slices(trials, [], "validation_log_loss", True))


def test_curves_name_the_best_trials_and_end_in_a_dot():
    best = [("depth=3", np.array([0.5, 0.4, 0.3])), ("depth=6", np.array([0.5, 0.45]))]
    figure = plots.sweep_curves(best, [np.array([0.6, 0.5])])
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["depth=3", "depth=6"]
    dots = [line.get_xydata().tolist() for line in axes.lines if line.get_marker() == "o"]
    assert dots == [[[2, 0.45]], [[3, 0.3]]]


def test_curves_of_one_round_are_drawn_without_a_warning():
    assert png(plots.sweep_curves([("trees=1", np.array([0.5]))], []))


def test_a_slice_has_ticks_at_the_values_of_a_list():
    trials = pd.DataFrame({"learning_rate": [0.01, 0.03, 0.1, 0.3] * 2, "max_depth": [3, 4] * 4})
    trials = trials.astype({"max_depth": "Int64"})  # as in the table of a sweep
    panels = plots.slices(trials.assign(loss=0.3), [*trials], "loss", True).axes
    labels = [[label.get_text() for label in axes.get_xticklabels()] for axes in panels]
    assert labels == [["0.01", "0.03", "0.1", "0.3"], ["3", "4"]]


@pytest.mark.parametrize("less_is_better", [True, False])
def test_slices_say_how_many_trials_they_do_not_show(less_is_better):
    scores = np.geomspace(0.01, 1, 30) if less_is_better else np.linspace(1, 0, 30)
    trials = pd.DataFrame({"max_depth": np.arange(30), "score": scores})
    figure = plots.slices(trials, ["max_depth"], "score", less_is_better)
    low, high = figure.axes[0].get_ylim()
    n_hidden = np.count_nonzero((scores < low) | (scores > high))
    assert n_hidden > 0
    assert f"not shown: the {n_hidden} worst" in figure.texts[1].get_text().replace("\n", " ")


def test_slices_of_few_trials_show_all():
    trials = pd.DataFrame({"max_depth": [3, 6], "loss": [0.1, 0.9]})
    figure = plots.slices(trials, ["max_depth"], "loss", True)
    assert figure.axes[0].get_ylim()[1] > 0.9
    assert "not shown" not in figure.texts[1].get_text()


def test_curves_say_how_many_lie_above_the_plot():
    others = [np.array([9.0, 8.0]), np.array([7.0]), np.array([0.5, 0.3])]
    figure = plots.sweep_curves([("best", np.array([0.5, 0.4, 0.2]))], others)
    assert figure.texts[1].get_text().endswith("; not shown: 2 of the worse trials")
