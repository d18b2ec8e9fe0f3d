"""Bootstrap: replicates, intervals, and paired comparisons of two models."""

import signal
import threading

import numpy as np
import pytest

from tabular import cancel
from tabular.evaluation import bootstrap
from tabular.evaluation.metrics import classification_metrics


def simulate(n, seed, *noise):
    """Labels, and for each amount of noise the probabilities of a model."""
    rng = np.random.default_rng(seed)
    log_odds = rng.normal(-1.5, 2, n)
    y = (rng.random(n) < 1 / (1 + np.exp(-log_odds))).astype(np.int8)
    models = [1 / (1 + np.exp(-log_odds - rng.normal(0, scale, n))) for scale in noise]
    return y, *[probability.astype(np.float32) for probability in models]


def test_replicates_are_the_metrics_of_the_rows_drawn():
    """The reference is scikit-learn on the same rows, ties included."""
    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, 300).astype(np.int8)
    p = (np.round(rng.random(300) * 0.5 + 0.25 * y, 2)).astype(np.float32)
    replicates = bootstrap.bootstrap_metrics(y, p, n_replicates=4, seed=7)
    rng = np.random.default_rng(7)
    for number in range(4):
        rows = rng.integers(0, 300, 300, np.int32)
        expected = classification_metrics(y[rows], p[rows])
        assert {k: v[number] for k, v in replicates.items()} == pytest.approx(expected, rel=1e-6)


def test_undefined_replicates_are_left_out_of_an_interval():
    """A replicate without a positive row has no recall."""
    y, p = np.array([0, 0, 0, 1]), np.array([0.1, 0.2, 0.3, 0.4])
    replicates = bootstrap.bootstrap_metrics(y, p)
    assert np.isnan(replicates["recall"]).any()
    assert np.isfinite(bootstrap.percentile_interval(replicates["recall"])).all()
    assert np.isfinite(bootstrap.percentile_interval(replicates["log_loss"])).all()
    ends = bootstrap.confidence_intervals(y, p)
    assert {"interval/recall_low", "interval/recall_high"} <= {*ends}


def test_drawing_counts_has_the_distribution_of_drawing_rows():
    y, p = simulate(20_000, 2, 0.3)
    rows, counts = (bootstrap.bootstrap_metrics(y, p, binned=binned) for binned in (False, True))
    exact = classification_metrics(y, p)
    for name, values in counts.items():
        deviation = rows[name].std()
        assert values.mean() == pytest.approx(exact[name], abs=deviation / 5), name
        assert values.std() == pytest.approx(deviation, rel=0.15), name


@pytest.mark.parametrize("options", [{}, {"threshold": 0.3}])
def test_an_interval_has_the_quantiles_of_1000_replicates_in_six_digits(options):
    y, p = simulate(200, 0, 0.3)
    ends = bootstrap.confidence_intervals(y, p, **options)
    threshold = options.get("threshold", 0.5)
    replicates = bootstrap.bootstrap_metrics(y, p, 1000, 0, False, threshold)
    for metric, values in replicates.items():
        low, high = np.quantile(values, [0.025, 0.975])
        assert ends[f"interval/{metric}_low"] == round(low, 6)
        assert ends[f"interval/{metric}_high"] == round(high, 6)
    assert bootstrap.start_intervals(y, p, **options)() == ends


def test_replicates_of_binned_probabilities_are_centred_on_the_metric_itself(monkeypatch):
    monkeypatch.setattr(bootstrap, "HISTOGRAM_STEPS", 4)
    p = np.array([0.5, 0.6, 0.7])
    replicates = bootstrap.bootstrap_metrics(np.ones(3), p, binned=True)
    assert replicates["brier_score"].tolist() == pytest.approx([np.mean((1 - p) ** 2)] * 1000)


def test_confidence_intervals_draw_counts_for_many_rows(monkeypatch):
    y, p = simulate(2000, 0, 0.3)
    monkeypatch.setattr(bootstrap, "MANY_ROWS", 2000)
    ends = bootstrap.confidence_intervals(y, p)
    monkeypatch.setattr(bootstrap, "MANY_ROWS", 1999)
    ends_of_counts = bootstrap.confidence_intervals(y, p)
    low, high = ends["interval/roc_auc_low"], ends["interval/roc_auc_high"]
    assert ends != ends_of_counts
    assert ends_of_counts["interval/roc_auc_low"] == pytest.approx(low, abs=(high - low) / 5)


def test_intervals_cover_the_true_value_in_95_percent_of_samples():
    """300 samples of 400 rows are drawn; the tolerance is three standard errors."""
    rng = np.random.default_rng(0)

    def draw(n):
        probability = rng.beta(0.6, 1.6, n)
        y = (rng.random(n) < probability).astype(np.int8)
        return y, np.clip(probability + rng.normal(0, 0.1, n), 0.01, 0.99)

    truth = classification_metrics(*draw(400_000))
    covered = dict.fromkeys(truth, 0)
    for number in range(300):
        replicates = bootstrap.bootstrap_metrics(*draw(400), n_replicates=300, seed=number)
        for metric, values in replicates.items():
            low, high = bootstrap.percentile_interval(values)
            covered[metric] += low <= truth[metric] <= high
    tolerance = 3 * np.sqrt(0.95 * 0.05 / 300)
    assert {k: n / 300 for k, n in covered.items()} == pytest.approx(
        dict.fromkeys(truth, 0.95), abs=tolerance
    )


def test_a_metric_that_no_replicate_defines_has_no_interval():
    assert np.isnan(bootstrap.percentile_interval(np.full(10, np.nan))).all()


def test_a_paired_interval_is_that_of_the_difference_of_replicates(monkeypatch):
    """Up to ``MANY_ROWS`` rows."""
    monkeypatch.setattr(bootstrap, "MANY_ROWS", 500)
    y, a, b = simulate(500, 1, 0.3, 0.6)
    of_a, of_b = (bootstrap.bootstrap_metrics(y, p) for p in (a, b))
    expected = {name: bootstrap.percentile_interval(of_b[name] - of_a[name]) for name in of_a}
    assert bootstrap.paired_intervals(y, a, b) == expected


def test_a_paired_interval_is_far_narrower_than_that_of_each_model():
    y, a = simulate(2000, 1, 0.3)
    low, high = bootstrap.paired_intervals(y, a, a * 0.99)["log_loss"]
    ends = bootstrap.confidence_intervals(y, a)
    assert high - low < 0.2 * (ends["interval/log_loss_high"] - ends["interval/log_loss_low"])


@pytest.mark.parametrize("many_rows", [1 << 18, 1000])
def test_the_paired_intervals_of_identical_models_are_zero(monkeypatch, many_rows):
    monkeypatch.setattr(bootstrap, "MANY_ROWS", many_rows)
    y, a = simulate(2000, 1, 0.3)
    assert {*bootstrap.paired_intervals(y, a, a).values()} == {(0, 0)}


@pytest.mark.parametrize("thresholds", [(0.5, 0.5), (0.3, 0.6)])
@pytest.mark.parametrize("noise", [(0.3, 0.35), (0.3, 2.0)])
def test_a_joint_histogram_gives_the_paired_interval_of_drawing_rows(
    monkeypatch, noise, thresholds
):
    """Few cells make the steps as coarse as for millions of rows."""
    monkeypatch.setattr(bootstrap, "MAX_CELLS", 1 << 12)
    y, a, b = simulate(10_000, 4, *noise)
    rows = [
        bootstrap.bootstrap_metrics(y, p, threshold=threshold)
        for p, threshold in zip((a, b), thresholds, strict=True)
    ]
    found = bootstrap._histogram_differences(y, (a, b), thresholds)
    for metric, differences in found.items():
        expected = rows[1][metric] - rows[0][metric]
        assert len(differences) == len(expected)
        assert differences.mean() == pytest.approx(expected.mean(), abs=expected.std() / 8), metric
        assert differences.std() == pytest.approx(expected.std(), rel=0.1), metric


def test_a_joint_histogram_has_no_more_cells_than_allowed(monkeypatch):
    monkeypatch.setattr(bootstrap, "MAX_CELLS", 500)
    y, a, b = simulate(5000, 0, 0.3, 1.0)
    cell, models = bootstrap._joint_histogram(y, a, b)
    assert len(cell) == 5000
    assert 100 < cell.max() + 1 <= 500
    assert {len(model.index) for model in models} == {cell.max() + 1}
    monkeypatch.setattr(bootstrap, "MAX_CELLS", cell.max() + 1)
    assert (bootstrap._joint_histogram(y, a, b)[0] == cell).all()


@pytest.mark.parametrize("binned", [False, True])
def test_cancellation_ends_a_bootstrap(monkeypatch, binned):
    monkeypatch.setattr(cancel, "_received", signal.SIGINT)
    y, p = simulate(100, 0, 0.3)
    with pytest.raises(cancel.Cancelled):
        bootstrap.bootstrap_metrics(y, p, binned=binned)


def test_the_intervals_of_many_rows_are_computed_in_another_thread(monkeypatch):
    """While they are, the caller goes on."""
    names, waited = [], []
    returned, compute = threading.Event(), bootstrap.confidence_intervals

    def confidence_intervals(*arguments):
        names.append(threading.current_thread().name)
        if names[-1] != threading.main_thread().name:
            waited.append(returned.wait(10))
        return compute(*arguments)

    monkeypatch.setattr(bootstrap, "confidence_intervals", confidence_intervals)
    y = np.arange(100) % 2
    p = np.linspace(0.1, 0.9, 100)
    monkeypatch.setattr(bootstrap, "MANY_ROWS", 100)
    few = bootstrap.start_intervals(y, p, 0.3)()
    assert few == compute(y, p, 0.3)
    monkeypatch.setattr(bootstrap, "MANY_ROWS", 99)
    many = bootstrap.start_intervals(y, p, 0.3)
    returned.set()
    assert many() == compute(y, p, 0.3)
    assert waited == [True]
    assert names[0] == threading.main_thread().name != names[1]
