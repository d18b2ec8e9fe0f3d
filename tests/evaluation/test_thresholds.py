"""A threshold is chosen on labelled rows, and compared with 0.5 on others."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from tabular.errors import UserError, WorkFailed
from tabular.evaluation import thresholds
from tabular.evaluation.bootstrap import paired_intervals
from tabular.evaluation.metrics import is_positive
from tabular.options import MAXIMIZED, ThresholdRule, parse_threshold

RULES = [*MAXIMIZED, "recall>=0.8", "precision=0.6", "precision=1"]
FUNCTIONS = {
    "accuracy": metrics.accuracy_score,
    "balanced_accuracy": metrics.balanced_accuracy_score,
    "f1": metrics.f1_score,
    "precision": metrics.precision_score,
    "recall": metrics.recall_score,
}
Y = np.array([0, 1, 0, 1, 1])
P = np.array([0.1, 0.3, 0.35, 0.6, 0.9], np.float32)


@st.composite
def rows(draw):
    """Labels of both kinds and probabilities, many of which are equal."""
    n = draw(st.integers(2, 12))
    y = draw(st.lists(st.integers(0, 1), min_size=n, max_size=n).filter(lambda v: 0 < sum(v) < n))
    p = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0, 1, width=32))
    values = draw(st.lists(p, min_size=n, max_size=n))
    return np.array(y), np.array(values, np.float32)


def at(name, y, p, threshold):
    """A metric at a threshold; the functions of scikit-learn would take a hundred times as long."""
    predicted = is_positive(p, threshold)
    found = thresholds.rates(len(y), y.sum(), predicted.sum(), (predicted & (y == 1)).sum())
    return found[name]


@settings(max_examples=100)
@given(rows(), st.sampled_from(RULES))
def test_no_other_threshold_is_better_and_a_half_is_chosen_where_it_is_as_good(sample, text):
    """Compared with all probabilities, the middles between them, 0, 0.5 and 1."""
    (y, p), rule = sample, parse_threshold(text)
    known = np.unique(np.concatenate([p.astype(float), [0, 0.5, 1]]))
    others = np.unique(np.concatenate([known, (known[1:] + known[:-1]) / 2]))
    if rule.bounded:
        others = [
            t for t in others if is_positive(p, t).any() and at(rule.bounded, y, p, t) >= rule.bound
        ]
        if not others:
            with pytest.raises(WorkFailed, match="no threshold reaches"):
                thresholds.choose(rule, y, p)
            return
    chosen = thresholds.choose(rule, y, p)
    assert 0 <= chosen <= 1
    if rule.bounded:
        assert at(rule.bounded, y, p, chosen) >= rule.bound
    best = at(rule.maximized, y, p, chosen)
    scores = np.array([at(rule.maximized, y, p, t) for t in others])
    assert best == pytest.approx(scores.max())
    if 0.5 in others and at(rule.maximized, y, p, 0.5) == pytest.approx(best):
        assert chosen == 0.5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("accuracy", 0.5),  # 4 of 5 correct with 0.5 as with 0.2
        ("f1", 0.2),
        ("recall>=1", 0.2),
        ("recall=0.6", 0.5),
        ("precision>=0.9", 0.5),
        ("precision=0.7", 0.2),
    ],
)
def test_the_choice_is_that_worked_out_by_hand(text, expected):
    """Precision is 3/4 and recall 1 above 0.1, 2/3 and 2/3 above 0.3, 1 and 2/3 above 0.35."""
    assert thresholds.choose(parse_threshold(text), Y, P) == expected


def test_of_two_equally_near_thresholds_the_lower_is_chosen():
    y, p = np.array([1, 0, 1, 0]), np.array([0.8, 0.6, 0.4, 0.2])
    assert thresholds.choose(ThresholdRule(None, "accuracy"), y, p) == 0.3


def test_a_threshold_has_few_digits():
    p = np.array([0.123456, 0.123556, 0.4])
    assert thresholds.choose(parse_threshold("f1"), np.array([0, 1, 1]), p) == 0.1235


def test_a_bound_out_of_reach_is_refused_with_the_best_that_there_is():
    y, p = np.array([0, 1, 0, 1]), np.array([0.9, 0.8, 0.3, 0.2])
    message = (
        "threshold: no threshold reaches precision>=0.75 on validation rows; the highest precision "
        "is 0.5000, at threshold 0.2, where recall is 1.0000"
    )
    with pytest.raises(WorkFailed) as refused:
        thresholds.choose(parse_threshold("precision=0.75"), y, p)
    assert refused.value.format_message() == message


def test_a_metric_without_positive_rows_is_undefined():
    with pytest.raises(WorkFailed, match="recall>=0.8 is undefined on the validation rows"):
        thresholds.choose(parse_threshold("recall=0.8"), np.zeros(3, int), P[:3])


@pytest.mark.parametrize("text", ["0.5", "0.50", ".5"])
def test_a_half_is_the_default(text):
    assert thresholds.decide(parse_threshold(text), None) == (0.5, "")


def test_a_number_needs_no_rows():
    assert thresholds.decide(parse_threshold("0.3"), None) == (0.3, "as given")


@pytest.mark.parametrize("text", ["recall>=0.8", "recall=0.8", "'recall>=0.8'", '"recall>=0.80"'])
def test_a_bound_has_several_spellings(text):
    """MLflow records a value that the shell would not take as it is with its quotes."""
    assert parse_threshold(text) == ThresholdRule(None, "precision", "recall", 0.8)
    assert str(parse_threshold(text)) == "recall>=0.8"


@pytest.mark.parametrize("text", [
    "fi", "", "nan", "1e3", "1.5", "-0.1", "f1=0.8",
    "recall", "recall=0", "recall=1.1", "recall>0.8", "recall=.8.",
])  # fmt: skip
def test_what_is_no_threshold_is_refused(text):
    expected = "threshold: expected a number from 0 to 1, accuracy, f1, balanced_accuracy, or a bou"
    with pytest.raises(UserError, match=expected):
        parse_threshold(text)


def test_rates_are_those_of_scikit_learn():
    found = thresholds.compare_with_default(Y, P, 0.2).set_index("metric")
    for name, function in FUNCTIONS.items():
        assert found.loc[name, "at_0.5"] == pytest.approx(function(Y, P >= 0.5))
        assert found.loc[name, "at_threshold"] == pytest.approx(function(Y, P >= 0.2))
    assert found.loc["selection_rate", "difference"] == pytest.approx(0.4)


def test_intervals_are_those_of_resampled_rows():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 3000)
    p = np.clip(rng.normal(0.3 * y + 0.35, 0.2), 0, 1)
    found = thresholds.compare_with_default(y, p, 0.35).set_index("metric")
    expected = paired_intervals(y, p, p, (0.5, 0.35))
    for name in ("accuracy", "f1", "precision", "recall"):
        low, high = expected[name]
        width = high - low
        assert found.loc[name, ["low", "high"]].tolist() == pytest.approx(
            [low, high], abs=0.15 * width
        )


def test_the_default_compared_with_itself_changes_nothing():
    found = thresholds.compare_with_default(Y, P, 0.5)
    assert not found[["difference", "low", "high"]].to_numpy().any()


def test_a_row_at_the_threshold_is_positive_as_for_a_client():
    """A client compares 64 bits; 0.7 in 32 bits is less than 0.7."""
    p = np.array([0.7], np.float32)
    assert is_positive(p, 0.7).tolist() == (p.astype(float) >= 0.7).tolist() == [False]


def test_the_plot_marks_both_thresholds():
    (axes,) = thresholds.plot(Y, P, 0.2, "validation rows").axes
    marked = [line.get_xdata()[0] for line in axes.lines[-2:]]
    assert marked == [0.5, 0.2]
    assert axes.get_legend().get_texts()[-1].get_text() == "0.2, the model's"


def test_a_metric_that_is_undefined_at_a_half_is_called_so():
    costs = thresholds.compare_with_default(Y, np.full(5, 0.4, np.float32), 0.3)
    text = thresholds.describe(thresholds.Threshold(0.3, "asked for"), costs)
    assert "precision 0.6000 (undefined at 0.5)" in text
    assert "nan" not in text
