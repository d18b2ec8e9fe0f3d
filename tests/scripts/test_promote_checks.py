"""The checks of a promotion on a few rows: figures, bounds and verdicts worked out by hand."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tabular import promotion_checks
from tabular.data import sources
from tabular.data.dataset import Dataset, Split
from tabular.data.table import Table
from tabular.evaluation import bootstrap
from tabular.evaluation.metrics import search_metrics
from tabular.tracking import logged_model, registry, runs

Y = np.array([0, 0, 1, 1])
P = np.array([0.1, 0.6, 0.8, 0.9])  # log loss 0.3375..., accuracy 3/4, or 1 from the threshold 0.7
LOG_LOSS = search_metrics(Y, P)["log_loss"]


def dataset_of(y, groups=None, train_share=0.5, **fields) -> Dataset:
    groups = pd.DataFrame(groups or {}, index=range(len(y)))
    table = Table(name="t", columns={"x": "numeric"}, label="y", negative="0", positive="1",
                  groups=tuple(groups), **fields)  # fmt: skip
    X = pd.DataFrame({"x": np.zeros(len(y), np.float32)})
    train = np.arange(100) < 100 * train_share
    splits = (Split(X, np.asarray(of, np.int8), groups, "rows", "", False) for of in (train, y))
    return Dataset(table, *splits, "directory", "")


@pytest.mark.parametrize(("floors", "threshold", "expected"), [
    ({"accuracy": 0.75}, 0.5, ("accuracy", "0.7500", "at least 0.75", True)),
    ({"accuracy": 0.76}, 0.5, ("accuracy", "0.7500", "at least 0.76", False)),
    ({"accuracy": 0.76}, 0.7, ("accuracy", "1.0000", "at least 0.76", True)),
    ({"log_loss": LOG_LOSS}, 0.5, ("log_loss", "0.3375", f"at most {LOG_LOSS}", True)),
    ({"log_loss": 0.337}, 0.5, ("log_loss", "0.3375", "at most 0.337", False)),
])  # fmt: skip
def test_a_metric_reaches_its_floor_if_it_equals_it(floors, threshold, expected):
    (check,) = promotion_checks.check_floors(dataset_of(Y, floors=floors), P, threshold)
    assert check == expected


@pytest.mark.parametrize(("n_rows", "probability", "passed"), [
    (400, 0.7, True), (400, 0.51, False), (400, 0.05, False), (20, 0.7, False),
])  # fmt: skip
def test_without_floors_a_model_must_beat_the_share_of_the_training_rows(
    n_rows, probability, passed
):
    """By more than chance; of the test rows, seven tenths are positive."""
    y = np.arange(n_rows) % 10 < 7
    p = np.full(n_rows, probability, np.float32)
    (check,) = promotion_checks.check_floors(dataset_of(y, train_share=0.51), p, 0.5)
    name, figure, bound, verdict = check
    assert (name, bound, verdict) == ("baseline", "interval above 0", passed)
    constant = np.full(n_rows, 0.51, np.float32)
    gain = search_metrics(y, constant)["log_loss"] - search_metrics(y, p)["log_loss"]
    low, high = bootstrap.paired_intervals(y, p, constant)["log_loss"]
    assert figure == f"log_loss {gain:+.4f} [{low:+.4f}, {high:+.4f}] better than a constant"


@pytest.fixture(scope="module")
def models():
    """Labels, and the probabilities of a worse and of a better model."""
    rng = np.random.default_rng(0)
    y = np.arange(2000) % 2
    return y, *(np.clip(0.25 + 0.5 * y + rng.normal(0, s, 2000), 0.01, 0.99) for s in (0.4, 0.2))


@pytest.mark.parametrize("metric", ["log_loss", "accuracy", "roc_auc"])
def test_an_improvement_is_positive_whether_less_or_more_of_the_metric_is_better(models, metric):
    """Each model's accuracy is that at its own threshold."""
    y, old, new = models
    thresholds = (0.3, 0.6)
    of_old, of_new = (
        search_metrics(y, *of)[metric] for of in zip((old, new), thresholds, strict=True)
    )
    gain = of_old - of_new if metric == "log_loss" else of_new - of_old
    ends = bootstrap.paired_intervals(y, old, new, thresholds)[metric]
    low, high = sorted(abs(end) for end in ends)

    def check(*options):
        options = SimpleNamespace(metric=metric, min_improvement=options[0])
        return promotion_checks.check_improvement(y, old, new, thresholds, options)

    assert gain > low > 0
    figure = f"{metric} improves by {gain:+.4f} [{low:+.4f}, {high:+.4f}]"
    assert check(0.0) == ("improvement", figure, "interval above 0.0", True)
    assert not check(low)[-1]
    assert check(low - 1e-6)[-1]
    worse = SimpleNamespace(metric=metric, min_improvement=0.0)
    assert not promotion_checks.check_improvement(y, new, old, thresholds[::-1], worse)[-1]


@pytest.mark.parametrize(("n_wrong", "max_drop", "figure", "passed"), [
    (2, 0.2, "accuracy drops by +0.2000 (sex b: +2 of 10 rows wrong)", True),
    (2, 0.19, "accuracy drops by +0.2000 (sex b: +2 of 10 rows wrong)", False),
    (1, 0.0, "accuracy drops by +0.0000 (sex a: +0 of 40 rows wrong)", True),
])  # fmt: skip
def test_the_group_that_loses_most_accuracy_decides(n_wrong, max_drop, figure, passed):
    """One wrong row more is ignored: it is a large share of a small group."""
    y = np.ones(50)
    dataset = dataset_of(y, {"sex": ["a"] * 40 + ["b"] * 10})
    old, new = np.full(50, 0.7), np.full(50, 0.7)
    new[50 - n_wrong :] = 0.55  # negative at the new model's threshold alone
    found = promotion_checks.check_groups(dataset, old, new, max_drop, (0.5, 0.6))
    assert found == ("group_drop", figure, f"at most {max_drop}", passed)


def test_a_group_that_gains_loses_nothing():
    dataset = dataset_of(np.ones(50), {"sex": ["a"] * 50})
    old, new = np.full(50, 0.4), np.full(50, 0.6)
    _, figure, _, passed = promotion_checks.check_groups(dataset, old, new, 0.0)
    assert (figure, passed) == ("accuracy drops by -1.0000 (sex a: -50 of 50 rows wrong)", True)


def test_thresholds_are_reported_with_the_share_of_positive_rows():
    figure = "was 0.5 (75.0% of the rows positive), is 0.1 (100.0% of the rows positive)"
    expected = ("threshold", figure, "reported only", True)
    assert promotion_checks.report_thresholds(P, P, (0.5, 0.1)) == expected


@pytest.mark.parametrize(
    ("origin", "shown"), [("directory", "own files"), ("synthetic", "synthetic")]
)
def test_a_model_of_the_other_label_or_other_rows_is_refused_and_predicts_nothing(
    monkeypatch, origin, shown
):
    """Its probabilities would be taken for those of the champion's label."""
    dataset = replace(dataset_of(Y), origin=origin)
    swapped = replace(dataset.table, negative="1", positive="0")
    monkeypatch.setattr(runs, "recorded_table", lambda run: swapped)
    signature = logged_model.signature(dataset.table)
    candidate, champion = (
        SimpleNamespace(tags={"data.digest": digest}, signature=signature, run="of the model")
        for digest in (dataset.digest, "0123456789")
    )
    checks = promotion_checks.check_candidate(candidate, champion, dataset, None)
    digest = dataset.digest[:8]
    assert checks.to_numpy().tolist() == [
        ["real_rows", shown, "not synthetic", origin == "directory"],
        ["candidate_data", f"trained on data {digest}", f"the data is {digest}", True],
        ["champion_data", "trained on data 01234567", f"the data is {digest}", False],
        ["signature", "positive was 0, is 1", "compatible", False],
    ]


def checked(monkeypatch, before: Table, test_of_before: Split, new=P):
    """The checks of a candidate beside a champion whose table reads other test rows, and what the
    champion predicts.
    """
    dataset = dataset_of(Y)
    monkeypatch.setattr(runs, "recorded_table", lambda run: before)
    monkeypatch.setattr(
        sources, "reload", lambda tags, table: replace(dataset, table=table, test=test_of_before)
    )
    asked, answers = [], iter([new, P])
    monkeypatch.setattr(registry, "predict", lambda _, rows: asked.append(rows) or next(answers))
    model = SimpleNamespace(
        tags={"data.digest": dataset.digest}, threshold=0.5, run="of the model",
        signature=logged_model.signature(dataset.table),
    )  # fmt: skip
    required = promotion_checks.Requirements("log_loss", 0.0, 0.02)
    checks = promotion_checks.check_candidate(model, model, dataset, required)
    return checks.set_index("check"), asked


def test_a_champion_predicts_the_rows_as_its_own_table_reads_them(monkeypatch):
    """Other markers of missing values give it other features than the candidate."""
    dataset = dataset_of(Y)
    rows = replace(dataset.test, name="read with other markers")
    checks, asked = checked(monkeypatch, replace(dataset.table, missing=("", "-999")), rows)
    assert asked[1] is rows
    assert "improvement" in checks.index


def test_a_champion_of_other_labels_of_the_same_rows_is_refused(monkeypatch):
    dataset = dataset_of(Y)
    table = replace(dataset.table, label_aliases={"0": ("maybe",)})
    checks, asked = checked(monkeypatch, table, replace(dataset.test, y=1 - dataset.test.y))
    assert not checks.loc["champion_labels", "passed"]
    assert "improvement" not in checks.index
    assert len(asked) == 1


def test_a_champion_of_other_rows_of_the_same_file_is_refused(monkeypatch):
    dataset = dataset_of(Y)
    table = replace(dataset.table, aliases={"x": ("an x",)})
    checks, _ = checked(monkeypatch, table, replace(dataset.test, positions="of other rows"))
    assert not checks.loc["champion_labels", "passed"]


def test_the_groups_of_the_champion_are_checked_though_the_candidate_has_none(monkeypatch):
    dataset = dataset_of(Y)
    groups = pd.DataFrame({"plan": ["a", "a", "b", "b"]})
    before = replace(dataset.table, groups=("plan",), non_features={"plan": "categorical"})
    worse = np.array([0.1, 0.2, 0.3, 0.4])
    checks, _ = checked(monkeypatch, before, replace(dataset.test, groups=groups), worse)
    assert "group_drop" not in checks.index
    assert not checks.loc["champion_group_drop", "passed"]
    assert "plan b: +2 of 2 rows wrong" in checks.loc["champion_group_drop", "figure"]


def test_the_first_of_many_breaks_of_a_signature_are_listed():
    breaks = [f"input {number} is new" for number in range(5000)]
    listed = promotion_checks._list_breaks(breaks)
    assert listed.startswith("input 0 is new; input 1 is new; ")
    assert listed.endswith("; input 19 is new; and 4,980 more")
    assert promotion_checks._list_breaks([]) == "compatible"
