"""What a reproduction makes of a past run's record, without training anything."""

from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pandas as pd
import pytest

from tabular import reproduction, training
from tabular.data.census import CENSUS
from tabular.data.dataset import Dataset, Split
from tabular.errors import UserError, WorkFailed
from tabular.model import boosting
from tabular.model.hyperparameters import DEFAULTS
from tabular.sweep import child_runs
from tabular.sweep.trials import SweepSpec
from tabular.tracking import runs, store

SAME = "data, versions, device, machine type and commit are the same"


def past_run(params=(), metrics=(), tags=()) -> SimpleNamespace:
    data = SimpleNamespace(params=dict(params), metrics=dict(metrics), tags=dict(tags))
    return SimpleNamespace(info=SimpleNamespace(run_id="1"), data=data)


@pytest.fixture(scope="module")
def census() -> Dataset:
    y = np.arange(40, dtype=np.int8) % 2
    split = Split(pd.DataFrame({"age": y}), y, pd.DataFrame(index=range(40)), "rows", "", False)
    return Dataset(CENSUS, split, split, "directory", "a folder")


@pytest.mark.parametrize(("found", "recorded", "equal"), [
    (0.1 + 0.2, 0.3, False),
    (0.3, 0.3, True),
    (np.nan, np.nan, True),
    (np.nan, 0.3, False),
    (0.3, np.nan, False),
    ({1: 0.6, 2: 0.5}, {1: 0.6, 2: 0.5, 3: 0.4}, False),
])  # fmt: skip
def test_results_are_equal_to_the_last_bit_or_undefined_both(found, recorded, equal):
    assert reproduction._equal(found, recorded) == equal


@pytest.mark.parametrize(("value", "shown"), [
    (0.1 + 0.2, "0.30000000000000004"),
    ({1: 0.6, 3: 0.4, 2: 0.5}, "0.4 after 3 rounds"),
    ({}, "nothing"),
    ("a,b\n" + 70 * "1", "a,b " + 60 * "1"),
])  # fmt: skip
def test_a_result_is_shown_on_one_line(value, shown):
    assert reproduction._show(value) == shown


@pytest.mark.parametrize(("recorded", "found", "shown"), [
    ("a,b\n1,2\n3,4\n", "a,b\n1,2\n3,5\n", ("3,4", "3,5")),
    ("a,b\n1,2\n", "a,b\n1,2\n3,4\n", ("nothing", "3,4")),
    ("abc", "abd", ("abc", "abd")),
    (0.25, 0.5, ("0.25", "0.5")),
])  # fmt: skip
def test_of_two_tables_the_first_lines_that_differ_are_shown(recorded, found, shown):
    assert reproduction._show_both(recorded, found) == shown


def test_a_run_that_is_older_than_a_hyperparameter_has_its_default():
    config = reproduction._config({"max_depth": "7", "learning_rate": "0.25", "seed": "3"})
    assert config == DEFAULTS | {"max_depth": 7, "learning_rate": 0.25}
    assert {name: type(value) for name, value in config.items()} == {
        name: type(value) for name, value in DEFAULTS.items()
    }


def test_only_what_the_past_run_recorded_is_compared(capsys):
    past = past_run(metrics={"log_loss": 0.3, "accuracy": 0.0})
    found, recorded = reproduction._recorded_results(
        past, {"log_loss": 0.4, "accuracy": 0.0, "f1": 0.5, "brier_score": 0.2}
    )
    assert (found, recorded) == ({"log_loss": 0.4, "accuracy": 0}, {"log_loss": 0.3, "accuracy": 0})
    assert capsys.readouterr().out == "note   run 1 did not record f1, brier_score\n"
    with pytest.raises(WorkFailed, match="run 1 did not record f1: there is nothing to compare"):
        reproduction._recorded_results(past, {"f1": 0.5, "log_loss": 0.4})


def reason(census, past_tags=(), tags=(), params=()) -> str:
    """The likely reason of a difference on the CPU; ``past_tags`` and ``tags`` differ."""
    same = runs.provenance_tags(census, "cpu")
    past = past_run(params, tags=same | dict(past_tags))
    return reproduction.likely_reason(past, past_run(tags=tags), census, "cpu")


def test_the_likely_reason_is_all_that_was_recorded_and_is_different_now(census):
    assert reason(census, {"device": "cuda", "version.python": "3.9"}, {runs.COMMIT: "b"}) == (
        "likely because device was cuda, is cpu; "
        f"version.python was 3.9, is {runs.provenance_tags(census, 'cpu')['version.python']}; "
        f"{runs.COMMIT} was None, is b"
    )
    executor = "likely because executor was dask, is local"
    assert reason(census, params={"executor": "dask"}) == executor


@pytest.mark.parametrize("params", [{}, {"executor": "local"}])
def test_a_moved_file_of_the_same_rows_is_no_reason(census, params):
    commit = {runs.COMMIT: "a"}
    assert reason(census, commit | {"data.source": "elsewhere"}, commit, params) == SAME


@pytest.mark.parametrize(("params", "stopping", "folds"), [
    ({}, 0, 0),
    ({"folds": "3"}, 0, 0),
    ({"early_stopping_rounds": "4"}, 4, 1),
    ({"threshold": "f1"}, 0, 1),
    ({"threshold": "f1", "folds": "3"}, 0, 3),
])  # fmt: skip
def test_a_run_is_repeated_with_its_own_early_stopping_and_validation_rows(
    census, monkeypatch, params, stopping, folds
):
    """A run of a sweep and one of an older version record no ``early_stopping_rounds``."""

    class Fitted(Exception):
        pass

    def fit(config, dataset, **options):
        raise Fitted(config["max_depth"], options)

    monkeypatch.setattr(training, "fit", fit)
    past = past_run({"seed": "5", "max_depth": "3"} | params)
    with pytest.raises(Fitted) as caught:
        reproduction.retrain(past, census, "cpu")
    depth, options = caught.value.args
    found = options.pop("validation_indices")
    assert (depth, options) == (3, {"seed": 5, "device": "cpu", "early_stopping_rounds": stopping})
    expected = boosting.validation_splits(census.train.y, 5, folds) if folds else []
    for pair, expected_pair in zip(found, expected, strict=True):
        assert all(map(np.array_equal, pair, expected_pair))


def test_a_sweep_whose_best_child_run_is_deleted_cannot_be_repeated(census, monkeypatch):
    monkeypatch.setattr(store, "find_run", lambda run_id: None)
    past = past_run({"seed": "5"}, tags={child_runs.BEST: "2"})
    with pytest.raises(UserError, match="run_id: 2, the best child run of this sweep"):
        reproduction.retrain(past, census, "cpu")


@pytest.fixture
def trial(census, monkeypatch):
    """A function that repeats a trial which gives this curve, or this error."""
    monkeypatch.setattr(SweepSpec, "matrices", lambda self, max_bin: ())

    def repeat(curve, error=None):
        result = SimpleNamespace(curve=curve, metrics={"accuracy": 0.8}, error=error)
        monkeypatch.setattr(reproduction, "run_shared_fit", lambda *args: [result])
        return reproduction.repeat_trial(past_run({"seed": "5", "folds": "1"}), census, "cpu")

    return repeat


def test_a_trial_is_compared_by_its_metrics_and_by_its_curve_from_one_tree_on(trial):
    curve = {1: 0.75, 2: 0.5}
    assert trial(np.array([0.75, 0.5])) == {
        f"{child_runs.VALIDATION}accuracy": 0.8,
        f"{child_runs.VALIDATION}log_loss": curve,
    }


@pytest.mark.parametrize(("error", "message"), [("no memory", "no memory"), (None, "no result")])
def test_a_trial_that_fails_now_is_an_error_with_its_reason(trial, error, message):
    with pytest.raises(WorkFailed, match=message):
        trial(None, error)


TRAINED = {"data.digest": "d", "device": "cpu"}


@pytest.mark.parametrize(("tags", "param", "status"), [
    (TRAINED, "seed", "RUNNING"),
    (TRAINED, "seed", "FAILED"),
    (TRAINED, "sown", "FINISHED"),
    ({"device": "cpu"}, "seed", "FINISHED"),
])  # fmt: skip
def test_only_a_finished_run_that_trained_is_repeated(tags, param, status):
    client = mlflow.MlflowClient()
    run_id = client.create_run("0", tags=tags).info.run_id
    client.log_param(run_id, param, "0")
    client.update_run(run_id, status)
    with pytest.raises(UserError, match=f"expected a FINISHED run .* which is {status} in sqlite"):
        reproduction._require_finished(run_id)


def test_a_run_that_the_store_does_not_have_is_unknown():
    with pytest.raises(UserError, match="got '0', which is unknown in sqlite"):
        reproduction._require_finished("0")


@pytest.mark.parametrize(("tags", "noted"), [({}, True), ({child_runs.CONFIG: "c"}, False)])
def test_missing_artifacts_are_noted_and_a_trial_has_none(capsys, tags, noted):
    client = mlflow.MlflowClient()
    run = client.create_run("0", tags=TRAINED | tags)
    client.log_param(run.info.run_id, "seed", "0")
    client.set_terminated(run.info.run_id)
    assert reproduction._require_finished(run.info.run_id).info.run_id == run.info.run_id
    assert (f"the artifacts of run {run.info.run_id}" in capsys.readouterr().out) == noted
    Path(run.info.artifact_uri).mkdir(parents=True)
    reproduction._require_finished(run.info.run_id)
    assert not capsys.readouterr().out
