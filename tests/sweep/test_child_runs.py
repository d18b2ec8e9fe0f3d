"""The child runs of a sweep: found again, adopted, ended, or left alone."""

import subprocess
import sys
from dataclasses import replace

import mlflow
import numpy as np
import pytest

from tabular.data import sources
from tabular.data.census import CENSUS
from tabular.errors import UserError
from tabular.model.hyperparameters import DEFAULTS
from tabular.sweep import child_runs
from tabular.sweep.budget import Budget
from tabular.sweep.trials import SweepSpec, TrialResult
from tabular.tracking import orphans, process, runs
from tests.helpers import PROJECT

CONFIGS = [DEFAULTS | {"max_depth": depth} for depth in (1, 2, 3)]


@pytest.fixture
def spec(synthetic_folder):
    return SweepSpec(sources.load(str(synthetic_folder)), "cpu", seed=0, folds=1)


@pytest.fixture
def parent():
    """A new run that reads RUNNING; written by this process or by the one given."""

    def start(author=None):
        tags = {child_runs.SIZE: "3", runs.PROCESS: author or process.identity()}
        return mlflow.MlflowClient().create_run("0", tags=tags)

    mlflow.search_runs()
    return start


@pytest.fixture
def dead():
    """The identity of a process that is gone."""
    tell = "from tabular.tracking import process; print(process.identity())"
    command = [sys.executable, "-c", tell]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True).stdout.strip()


def child(parent, spec, config, loss=0.5, finished=True):
    run_id = child_runs.create(parent, spec, config)
    child_runs.log_lineage(spec, run_id)
    if finished:
        metrics = {"log_loss": loss, "accuracy": 0.8, "roc_auc": 0.9}
        result = TrialResult(config, metrics, np.array([0.7, 0.6, loss]), run_id=run_id)
        child_runs.finish(spec, result)
    return run_id


def resume(parent, spec, how):
    look_up = child_runs.find_finished(parent, spec, how)
    return [result for config in CONFIGS if (result := look_up(config))]


def end_orphans():
    """End the runs whose process is gone; the ids of those that are left alone."""
    orphaned, others = orphans.find_running("0")
    orphans.end_orphaned(orphaned)
    return [run.info.run_id for run in others]


def get(run_id):
    return mlflow.MlflowClient().get_run(run_id)


def test_a_child_holds_what_decided_its_result_and_what_came_of_it(spec, parent):
    run = parent()
    found = get(child(run, spec, CONFIGS[1], loss=0.4))
    assert found.info.status == "FINISHED"
    params = CONFIGS[1] | {"seed": 0, "folds": 1}
    assert found.data.params == {name: str(value) for name, value in params.items()}
    assert found.data.metrics == {
        "validation_log_loss": 0.4, "validation_accuracy": 0.8, "validation_roc_auc": 0.9,
    }  # fmt: skip
    assert child_runs.curve(found.info.run_id).tolist() == [0.7, 0.6, 0.4]
    tags = found.data.tags
    assert tags["mlflow.parentRunId"] == run.info.run_id
    assert tags["sweep.config"] == child_runs.config_digest(spec, CONFIGS[1])
    assert tags["data.digest"] == spec.dataset.digest
    assert tags["version.xgboost"] == "3.2.0"
    assert [i.tags[0].value for i in found.inputs.dataset_inputs] == ["training"]


def test_the_digest_changes_with_everything_that_decides_and_with_nothing_else(spec):
    config, rows = CONFIGS[0], spec.dataset
    digests = [child_runs.config_digest(spec, config)] + [
        child_runs.config_digest(replace(spec, **change), config)
        for change in (
            {"device": "cuda"}, {"seed": 1}, {"folds": 3},
            {"dataset": replace(rows, train=replace(rows.train, digest="another"))},
        )
    ] + [
        child_runs.config_digest(spec, config | change)
        for change in ({"gamma": 0.5}, {"max_bin": 64}, {"monotone_constraints": "age:1"})
    ]  # fmt: skip
    assert len(set(digests)) == 8
    other_test = replace(spec, dataset=replace(rows, test=replace(rows.test, digest="another")))
    assert child_runs.config_digest(other_test, dict(reversed(config.items()))) == digests[0]


def test_the_digest_changes_with_what_is_read_of_the_rows_and_not_with_how_they_are_reported(spec):
    def digest(origin, **change):
        table = replace(CENSUS, **change)
        return child_runs.config_digest(
            replace(spec, dataset=replace(spec.dataset, table=table, origin=origin)), CONFIGS[0]
        )

    fewer = {name: kind for name, kind in CENSUS.columns.items() if name != "fnlwgt"}
    changes = [{}, {"columns": fewer}, {"missing": ("?",)}, {"positive": "<=50K"}]
    changes += [{"label_aliases": {"<=50K": ("maybe",)}}, {"aliases": {"age": ("years",)}}]
    digests = [digest("directory", **change) for change in changes] + [digest("uci")]
    assert len(set(digests)) == 7
    assert digest("directory", groups=(), floors={}) == digests[0]


def test_a_trial_is_known_by_what_was_drawn_and_as_the_point_that_it_became(spec, parent):
    """A sampler draws no number of trees: it is found, and then a grid knows the child too."""
    trials, run = replace(spec, tree_choices=range(1, 11)), parent()
    drawn = CONFIGS[0] | {"n_estimators": 10}
    run_id = child_runs.create(run, trials, drawn)
    assert "n_estimators" not in get(run_id).data.params
    became = drawn | {"n_estimators": 3}
    metrics = {"log_loss": 0.5, "accuracy": 0.8, "roc_auc": 0.9}
    result = TrialResult(became, metrics, np.array([0.7, 0.6, 0.5]), run_id=run_id)
    child_runs.finish(trials, result)
    child = get(run_id)
    assert child.data.params["n_estimators"] == "3"
    assert child.info.run_name == "synthetic depth=1 rate=0.1 trees=3"
    known = child_runs.find_finished(parent(), trials, "auto")
    assert known(drawn).config == became
    assert known(drawn | {"gamma": 1.0}) is None
    assert (
        child_runs.find_finished(parent(), replace(trials, tree_choices=(5, 10)), "auto")(drawn)
        is None
    )
    as_grid = child_runs.find_finished(parent(), spec, "auto")
    assert as_grid(became).run_id == run_id
    assert as_grid(drawn) is None


def test_a_curve_longer_than_a_batch_is_whole(spec, parent):
    run_id = child_runs.create(parent(), spec, CONFIGS[0])
    curve = np.linspace(1, 0, 2500)
    result = TrialResult(CONFIGS[0], {"log_loss": 0.0}, curve, run_id=run_id)
    child_runs.finish(spec, result)
    assert child_runs.curve(run_id).tolist() == curve.tolist()


def test_children_of_a_dead_sweep_are_adopted_and_its_running_runs_end(spec, parent, dead):
    crashed = parent(dead)
    done = child(crashed, spec, CONFIGS[0], loss=0.3)
    open_ = child(crashed, spec, CONFIGS[1], finished=False)
    new = parent()
    assert end_orphans() == [new.info.run_id]
    (result,) = resume(new, spec, "auto")
    assert (result.run_id, result.source) == (done, "adopted")
    assert result.config == CONFIGS[0]
    assert result.metrics == {"log_loss": 0.3, "accuracy": 0.8, "roc_auc": 0.9}
    assert get(done).data.tags["mlflow.parentRunId"] == new.info.run_id
    for run_id in (crashed.info.run_id, open_):
        assert get(run_id).info.status == "KILLED"
        assert get(run_id).data.tags["ended_by"] == "its process was gone"
    assert get(new.info.run_id).info.status == "RUNNING"
    assert get(new.info.run_id).data.tags["sweep.resumed_from"] == crashed.info.run_id


def test_children_of_a_finished_sweep_stay_where_they_are(spec, parent):
    finished = parent()
    done = child(finished, spec, CONFIGS[0])
    mlflow.MlflowClient().set_terminated(finished.info.run_id)
    (result,) = resume(parent(), spec, "auto")
    assert (result.run_id, result.source) == (done, "reused")
    assert get(done).data.tags["mlflow.parentRunId"] == finished.info.run_id


def test_a_run_that_may_be_alive_is_listed_and_not_touched(spec, parent):
    here = process.identity()
    elsewhere = "elsewhere " + here.split(" ", 1)[1]
    runs = [parent(here), parent(elsewhere), parent("")]
    open_ = [child(run, spec, CONFIGS[0], finished=False) for run in runs]
    done = child(runs[1], spec, CONFIGS[1])
    new = parent()
    assert end_orphans() == [run.info.run_id for run in [*runs, new]]
    assert {get(run_id).info.status for run_id in open_} == {"RUNNING"}
    (result,) = resume(new, spec, "auto")
    assert (result.run_id, result.source) == (done, "reused")


def test_only_the_named_sweep_and_what_it_resumed_is_continued(spec, parent):
    client = mlflow.MlflowClient()
    first, second, third = parent(), parent(), parent()
    known = [child(first, spec, CONFIGS[0]), child(second, spec, CONFIGS[1])]
    child(third, spec, CONFIGS[2])
    client.set_tag(second.info.run_id, child_runs.RESUMED_FROM, first.info.run_id)
    for run in (first, second, third):
        client.set_terminated(run.info.run_id)
    found = resume(parent(), spec, second.info.run_id)
    assert [result.run_id for result in found] == known
    assert resume(parent(), spec, "never") == []


def test_a_sweep_of_another_experiment_lends_its_children(spec, parent):
    client = mlflow.MlflowClient()
    other = client.create_run(client.create_experiment("other"), tags={child_runs.SIZE: "3"})
    done = child(other, spec, CONFIGS[0])
    client.set_terminated(other.info.run_id, "KILLED")
    assert resume(parent(), spec, "auto") == []
    (result,) = resume(parent(), spec, other.info.run_id)
    assert (result.run_id, result.source) == (done, "reused")
    assert get(done).data.tags["mlflow.parentRunId"] == other.info.run_id


def test_only_a_sweep_can_be_resumed(parent):
    for how in ("auto", "never", parent().info.run_id):
        child_runs.require_resumable(how)
    no_sweep = mlflow.MlflowClient().create_run("0").info.run_id
    for how in (no_sweep, "0" * 32, "always"):
        with pytest.raises(UserError, match="resume: expected auto, never or the run id of a sw"):
            child_runs.require_resumable(how)


@pytest.mark.parametrize("error", [None, RuntimeError])
def test_no_child_is_left_running_however_a_sweep_goes_on(spec, parent, error):
    run, other = parent(), parent()
    lost, foreign = (child(r, spec, CONFIGS[0], finished=False) for r in (run, other))
    done = child(run, spec, CONFIGS[1])
    try:
        with child_runs.ensure_children_ended(run, Budget(None)):
            if error:
                raise error
    except RuntimeError:
        pass
    assert [get(i).info.status for i in (lost, foreign, done)] == ["KILLED", "RUNNING", "FINISHED"]
    assert get(lost).data.tags["ended_by"] == (
        "RuntimeError" if error else "duplicate of a repeated request"
    )
