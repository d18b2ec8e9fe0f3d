"""A search with a budget: it ends well, keeps what is complete, and goes on when it is resumed."""

from functools import partial

import mlflow
import pytest
from distributed import Client, LocalCluster

import reproduce
import sweep
from tabular.model import boosting
from tabular.model.hyperparameters import DEFAULTS
from tabular.sweep import child_runs, executors, runner, space
from tabular.sweep.budget import Budget
from tabular.sweep.dask_executor import DaskExecutor
from tabular.sweep.executors import run_trials
from tabular.sweep.space import GridSearch
from tabular.sweep.trials import SweepSpec
from tests.helpers import SMALL, artifacts, board, children_of, search, sweeps

SPACE = {name: (default,) for name, default in DEFAULTS.items()}
TRIALS = ["--sampler", "tpe", "--max_depth", "2..5", "--n_estimators", "2..20"]


class Clock:
    """Seconds that a test sets."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def parent():
    return mlflow.MlflowClient().create_run("0", tags={child_runs.SIZE: "2"})


@pytest.fixture
def spend_after(monkeypatch, clock):
    """A function that lets the hour of a sweep be over after so many finished child runs."""
    finish, state = child_runs.finish, {"left": 0}

    def count(spec, result, *when):
        finish(spec, result, *when)
        state["left"] -= 1
        clock.now = 0.0 if state["left"] > 0 else 3600.0

    def spend_after(n_children):
        state["left"], clock.now = n_children, 0.0

    monkeypatch.setattr(child_runs, "finish", count)
    monkeypatch.setattr(runner, "Budget", partial(Budget, clock=clock))
    return spend_after


def test_a_budget_begins_with_the_first_fit_and_stays_spent(clock):
    budget = Budget(60, clock=clock)
    clock.now = 1000.0
    assert not budget.spent()
    budget.start()
    clock.now += 59
    budget.start()
    assert not budget.spent()
    clock.now += 1
    assert budget.spent()
    clock.now -= 30
    assert budget.spent()


def test_without_a_limit_nothing_is_ever_spent(clock):
    budget = Budget(None, clock=clock)
    budget.start()
    clock.now = 1e9
    assert not budget.spent()
    assert not budget.rest().spent()


@pytest.mark.parametrize(("n_done", "end"), [(0, 60), (10, 50), (100, 59), (1, 30)])
def test_time_is_kept_for_later_fits_but_never_more_than_half(clock, n_done, end):
    """Two later fits take as long as two of those that are done."""
    budget = Budget(60, n_later=2, clock=clock)
    budget.start()
    for _ in range(n_done):
        budget.tell()
    while not budget.spent():
        clock.now += 1
    assert clock.now == end
    assert budget.rest().seconds == 60 - end


def test_a_stopped_fit_keeps_the_prefixes_that_it_has_completed(
    dataset, clock, parent, monkeypatch
):
    """The other configurations have no result, and their child runs end without an error."""
    fit, past_12 = boosting.fit, set()

    def fit_until_spent(config, train, *, after_round, **settings):
        def spend_after_15(booster, curve):
            if len(curve) == 15:
                past_12.add(train)
            clock.now = 60.0 * (len(past_12) == 2)  # both folds
            return after_round(booster, curve)

        return fit(config, train, after_round=spend_after_15, **settings)

    monkeypatch.setattr(boosting, "fit", fit_until_spent)
    configs = space.grid_configs(SPACE | {"n_estimators": (5, 12, 100_000)}, 10)
    budget, spec = Budget(60, clock=clock), SweepSpec(dataset, "cpu", seed=0, folds=2)
    grid = GridSearch(configs, seed=0)
    executor = executors.LocalExecutor(parent, spec, grid.start(lambda config: None), workers=2)
    with child_runs.ensure_children_ended(parent, budget):
        results = [*run_trials(grid, executor, budget)]
    executor.close()
    assert [(r.config["n_estimators"], r.error) for r in results] == [(5, None), (12, None)]
    assert grid.n_open == 1
    (stopped,) = children_of(parent, "KILLED")
    assert stopped.data.tags["ended_by"] == "budget"
    assert "error" not in stopped.data.tags


def test_a_sweep_whose_budget_is_spent_ends_well_and_goes_on_when_it_is_resumed(
    run_script, synthetic_folder, spend_after
):
    """In the end it is the sweep without a budget, byte for byte."""
    options = [*SMALL, "--data", synthetic_folder, "--subsample", "0.8", "--workers", 1]
    spend_after(2)
    done = run_script(sweep.main, *options, "--budget", "1h")
    assert done.returncode == 0, done.stderr
    (first,) = sweeps()
    n_open = int(first.data.metrics["points_not_tried"])
    assert 4 <= n_open <= 6
    assert first.data.metrics["points_tried"] == 8 - n_open == len(children_of(first))
    assert (
        f"budget 1h is spent, {n_open} configurations are not tried; the same command"
        in done.stdout
    )
    assert f"{n_open} more were not tried" in first.data.tags["mlflow.note.content"]
    assert "plots/sweep.png" in artifacts(first)
    best = min(children_of(first), key=lambda c: c.data.metrics["validation_log_loss"])
    assert first.data.tags["sweep.best_run_id"] == best.info.run_id
    assert not search("attributes.status = 'RUNNING'")
    done = run_script(reproduce.main, "--run_id", first.info.run_id)
    assert "identical: all" in done.stdout, done.stdout + done.stderr

    spend_after(100)
    done = run_script(sweep.main, *options, "--budget", "1h")
    assert f"resume {8 - n_open} results are known" in done.stdout
    assert "is spent" not in done.stdout
    second = sweeps()[0]
    assert second.data.metrics["points_not_tried"] == 0
    assert len(board(second)) == 9
    whole = search(f"attributes.status = 'FINISHED' and tags.`{child_runs.CONFIG}` != ''")
    assert len(whole) == len({child.data.tags[child_runs.CONFIG] for child in whole}) == 8

    done = run_script(sweep.main, *options, "--resume", "never")
    assert done.returncode == 0, done.stderr
    reference = sweeps()[0]
    assert reference.data.tags["model.digest"] == second.data.tags["model.digest"]
    assert "points_tried" not in reference.data.metrics
    metrics = {c.data.tags[child_runs.CONFIG]: c.data.metrics for c in children_of(reference)}
    assert {c.data.tags[child_runs.CONFIG]: c.data.metrics for c in whole} == metrics


def test_trials_are_drawn_until_the_budget_is_spent(run_script, synthetic_folder, spend_after):
    options = ["--data", synthetic_folder, *TRIALS, "--trials", 1000, "--budget", "1h"]
    spend_after(3)
    done = run_script(sweep.main, *options, "--workers", 1)
    assert done.returncode == 0, done.stderr
    (run,) = sweeps()
    assert run.info.run_name == "synthetic sweep of tpe trials for 1h"
    tried = run.data.metrics["points_tried"]
    assert tried == len(children_of(run))
    assert tried in (3, 4)
    assert "tpe trials are not tried" in done.stdout


def test_repetitions_count_in_the_budget(run_script, synthetic_folder, spend_after):
    """The clock runs out after the search and one of three repetitions."""
    options = [*SMALL, "--data", synthetic_folder, "--workers", 1]
    spend_after(8 + 2)
    done = run_script(sweep.main, *options, "--budget", "1h", "--repeats", 3)
    assert done.returncode == 0, done.stderr
    assert "on 1 of 3 other splits: the budget is spent" in done.stdout
    (run,) = sweeps()
    assert run.data.metrics["points_not_tried"] == 0
    assert len(children_of(run)) == 10
    assert not search("attributes.status = 'RUNNING'")


def test_a_budget_that_is_too_short_for_any_point_ends_as_failed(
    run_script, synthetic_folder, clock, monkeypatch
):
    class Expired(Budget):
        def start(self):
            super().start()
            clock.now = 1e9

    monkeypatch.setattr(runner, "Budget", partial(Expired, clock=clock))
    options = [*SMALL[:-1], "50000,100000", "--data", synthetic_folder]
    done = run_script(sweep.main, *options, "--budget", "30s")
    assert done.returncode == 1
    line = "budget: 30s is spent, 8 configurations are not tried, and none is finished"
    line += "; allow more time"
    assert done.stderr.rstrip().endswith(f"error: {line}")
    (run,) = sweeps()
    assert (run.info.status, run.data.tags["error"]) == ("FAILED", line)
    assert not children_of(run, "FAILED")
    assert {child.data.tags["ended_by"] for child in children_of(run, "KILLED")} == {"budget"}
    assert not search("attributes.status = 'RUNNING'")


def test_a_grid_with_a_budget_is_tried_in_a_random_order_that_the_seed_fixes():
    """Without one, the most costly fit comes first."""
    configs = space.grid_configs(SPACE | {"max_depth": tuple(range(1, 31))}, 100)

    def order(seed):
        grid = GridSearch(configs, seed)
        grid.start(lambda config: None)
        return [config["max_depth"] for (config,) in grid.fits(1)]

    assert order(None) == [*range(30, 0, -1)]
    assert order(1) == order(1) != order(2)
    assert sorted(order(1)) == [*range(1, 31)]
    assert min(order(1)[:10]) < 10 < 20 < max(order(1)[:10])


@pytest.mark.slow
def test_fits_on_a_cluster_are_cancelled_when_the_budget_is_spent(dataset, clock, parent):
    endless = [DEFAULTS | {"max_depth": depth, "n_estimators": 100_000} for depth in (2, 3, 4)]
    budget, grid = Budget(60, clock=clock), GridSearch(endless, seed=0)
    spec = SweepSpec(dataset, "cpu", seed=0, folds=1)
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
        child_runs.ensure_children_ended(parent, budget),
    ):
        executor = DaskExecutor(client, parent, spec, grid.start(lambda config: None))
        submit = executor.submit

        def submit_and_spend(configs):
            submit(configs)
            clock.now += 30

        executor.submit = submit_and_spend
        assert [*run_trials(grid, executor, budget)] == []
    assert grid.n_open == 3
    assert len(children_of(parent, "KILLED")) == 2
