"""A sweep, from the command line to the store: chosen honestly, resumed, and never half done."""

import random
import signal
import time

import mlflow
import pytest

import reproduce
import sweep
import train
from tabular.data import census, synthetic
from tabular.model import boosting
from tabular.model.hyperparameters import DEFAULTS
from tabular.sweep import child_runs
from tabular.tracking import runs
from tests.helpers import (
    PLOTS,
    REAL,
    SMALL,
    TABLES,
    TEST_METRICS,
    artifacts,
    board,
    children_of,
    search,
    started,
    sweeps,
    wait_for,
)
from tests.servers import free_port, running

SPANS = ["--max_depth", "2..5", "--learning_rate", "0.05..0.5", "--n_estimators"]
TRIALS = ["--sampler", "tpe", "--trials", "12", *SPANS, "50..150"]
LONG = ["--max_depth", "2,3,4", "--learning_rate", "0.1,0.3", "--n_estimators", "150,300"]


def test_a_sweep_leaves_children_a_table_and_a_model(run_script, synthetic_folder):
    options = ["--data", synthetic_folder, "--reg_lambda", "1,1.0,01"]
    done = run_script(sweep.main, *SMALL, *options)
    assert done.returncode == 0, done.stderr
    (run,) = sweeps()
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "synthetic sweep of 8 configurations"
    assert run.data.params["max_depth"] == "2,3"
    assert run.data.params["reg_lambda"] == "1,1.0,01"
    assert run.data.params["metric"] == "log_loss"
    found = children_of(run)
    assert len(found) == 8
    assert {c.info.run_name for c in found} == {
        f"synthetic depth={d} rate={r} trees={n}"
        for d in (2, 3)
        for r in (0.1, 0.3)
        for n in (5, 10)
    }
    for child in found:
        assert set(child.data.params) == {*DEFAULTS, "seed", "folds"}
        assert set(child.data.metrics) == {
            "validation_log_loss", "validation_accuracy", "validation_roc_auc",
        }  # fmt: skip
        history = mlflow.MlflowClient().get_metric_history(child.info.run_id, "validation_log_loss")
        rounds = int(child.data.params["n_estimators"])
        assert sorted(point.step for point in history) == [*range(1, rounds + 1)]
    best = min(found, key=lambda child: child.data.metrics["validation_log_loss"])
    assert run.data.tags["sweep.best_run_id"] == best.info.run_id
    assert set(run.data.metrics) == TEST_METRICS | {
        "train_log_loss", "validation_log_loss", "validation_accuracy", "validation_roc_auc",
        "fit_seconds", "peak_memory_mb", "search_seconds",
    }  # fmt: skip
    assert run.data.metrics["validation_log_loss"] == best.data.metrics["validation_log_loss"]
    assert artifacts(run) == {
        "importance.png", *TABLES, "model_card.md", "table.json", "sweep.csv", "sweep.json",
        "plots", "plots/sweep.png", "plots/sweep_curves.png",
        *(f"plots/{name}.png" for name in PLOTS),
    }  # fmt: skip
    lines = board(run)
    assert lines["validation_log_loss"].is_monotonic_increasing
    assert lines["run_id"][0] == best.info.run_id
    assert set(lines["run_id"]) == {child.info.run_id for child in found} | {""}
    assert lines["source"].tolist().count("constant") == 1
    shown = mlflow.load_table("sweep.json", run_ids=[run.info.run_id])
    assert shown["run_id"].tolist() == lines["run_id"].tolist()
    note = run.data.tags[runs.DESCRIPTION]
    assert f"(#/experiments/0/runs/{best.info.run_id})" in note
    assert "a constant prediction" in note
    assert "grid   configurations: 8, fits they share: 4" in done.stdout
    assert "8 of 8 configurations, best log_loss" in done.stderr
    assert run.info.run_id in done.stdout


@pytest.mark.slow
def test_trials_are_children_and_the_best_number_of_trees_is_found(run_script, synthetic_folder):
    options = ["--data", synthetic_folder, "--sampler", "tpe", "--trials", 6, *SPANS, "5..200"]
    done = run_script(sweep.main, *options, "--folds", 2)
    assert done.returncode == 0, done.stderr
    assert "tpe    trials: 6, each of up to 200 trees" in done.stdout
    assert "6 of 6 tpe trials, best log_loss" in done.stderr
    (run,) = sweeps()
    assert run.info.run_name == "synthetic sweep of 6 tpe trials"
    assert run.data.params["max_depth"] == "2..5"
    found = children_of(run)
    assert len(found) == 6
    for child in found:
        trees = int(child.data.params["n_estimators"])
        assert 5 <= trees < 200
        assert f"trees={trees}" in child.info.run_name
        assert len(child_runs.curve(child.info.run_id)) == trees
        config = child.data.params
        assert 0.05 <= float(config["learning_rate"]) <= 0.5
        assert 2 <= int(config["max_depth"]) <= 5
    best = min(found, key=lambda child: child.data.metrics["validation_log_loss"])
    assert run.data.tags["sweep.best_run_id"] == best.info.run_id
    assert {"plots/sweep.png", "plots/sweep_curves.png"} < artifacts(run)
    config = [f"--{name}={best.data.params[name]}" for name in DEFAULTS]
    assert run_script(train.main, *config, "--data", synthetic_folder).returncode == 0
    (single,) = search("params.early_stopping_rounds = '0'")
    assert single.data.tags["model.digest"] == run.data.tags["model.digest"]
    # a grid knows the points that trials have become
    point = [f"--{name}={best.data.params[name]}" for name in DEFAULTS]
    done = run_script(sweep.main, *point, "--data", synthetic_folder, "--folds", 2)
    assert "resume 1 results are known from earlier sweeps" in done.stdout
    done = run_script(reproduce.main, "--run_id", best.info.run_id)
    assert "identical: all" in done.stdout, done.stdout + done.stderr


def test_the_winner_is_the_model_that_train_makes_of_its_configuration(
    run_script, synthetic_folder
):
    """Same bytes, same test metrics: the sweep adds nothing to them and takes nothing away."""
    options = ["--data", synthetic_folder, "--seed", 4, "--subsample", "0.7"]
    done = run_script(sweep.main, *SMALL, *options, "--metric", "accuracy", "--folds", 3)
    assert done.returncode == 0, done.stderr
    (parent,) = sweeps()
    best = mlflow.get_run(parent.data.tags["sweep.best_run_id"])
    assert set(best.data.metrics) >= {"validation_accuracy", "validation_accuracy_std"}
    found = children_of(parent)
    assert best.data.metrics["validation_accuracy"] == max(
        child.data.metrics["validation_accuracy"] for child in found
    )
    config = [f"--{name}={best.data.params[name]}" for name in [*DEFAULTS, "seed"]]
    assert run_script(train.main, *config, "--data", synthetic_folder).returncode == 0
    (single,) = search("params.early_stopping_rounds = '0'")
    assert single.data.tags["model.digest"] == parent.data.tags["model.digest"]
    for name in TEST_METRICS:
        assert single.data.metrics[name] == parent.data.metrics[name], name


@pytest.mark.slow
def test_the_test_rows_cannot_change_the_winner(run_script, synthetic_folder, tmp_path):
    """Other test rows with every label turned round: same children, same winner, same bytes."""
    (tmp_path / "turned").mkdir()
    train, test = ((synthetic_folder / name).read_text() for name in census.DIGESTS)
    turned = test.replace(">50K", "LESS").replace("<=50K", ">50K").replace("LESS", "<=50K")
    (tmp_path / "turned" / census.TRAIN).write_text(train)
    (tmp_path / "turned" / census.TEST).write_text(turned)
    for folder in (synthetic_folder, tmp_path / "turned"):
        done = run_script(sweep.main, *SMALL, "--data", folder, "--resume", "never")
        assert done.returncode == 0, done.stderr
    second, first = sweeps()
    assert first.data.metrics["accuracy"] == pytest.approx(1 - second.data.metrics["accuracy"])
    assert first.data.tags["model.digest"] == second.data.tags["model.digest"]
    configs = [
        {child.data.tags["sweep.config"]: child.data.metrics for child in children_of(run)}
        for run in (first, second)
    ]
    assert configs[0] == configs[1]
    best = [mlflow.get_run(run.data.tags["sweep.best_run_id"]) for run in (first, second)]
    assert best[0].data.params == best[1].data.params


@pytest.mark.slow
def test_what_is_known_is_not_computed_again(run_script, synthetic_folder):
    base = ["--data", synthetic_folder, "--learning_rate", "0.3", "--n_estimators", "5,10"]
    assert run_script(sweep.main, *base, "--max_depth", 2).returncode == 0
    done = run_script(sweep.main, *base, "--max_depth", "2,3")
    assert done.returncode == 0, done.stderr
    assert "resume 2 results are known from earlier sweeps" in done.stdout
    second, first = sweeps()
    assert len(children_of(first)) == len(children_of(second)) == 2
    lines = board(second)
    assert set(lines[lines["source"] == "reused"]["run_id"]) == {
        child.info.run_id for child in children_of(first)
    }
    assert second.data.tags["sweep.resumed_from"] == first.info.run_id
    done = run_script(sweep.main, *base, "--max_depth", "2,3", "--resume", second.info.run_id)
    assert done.returncode == 0, done.stderr
    third = sweeps()[0]
    assert len(children_of(third)) == 0
    assert third.data.tags["model.digest"] == second.data.tags["model.digest"]
    for name in TEST_METRICS:
        assert third.data.metrics[name] == second.data.metrics[name]


@pytest.mark.slow
@pytest.mark.real
def test_the_default_grid_on_the_real_files(run_script, monkeypatch):
    """What the README shows: 27 configurations, the best no worse than that of the 2018 sample."""
    monkeypatch.setenv("CENSUS_DATA_DIR", str(REAL))
    done = run_script(sweep.main, "--register", "census")
    assert done.returncode == 0, done.stderr
    (run,) = sweeps()
    assert len(children_of(run)) == 27
    best = mlflow.get_run(run.data.tags["sweep.best_run_id"])
    assert best.info.run_name == "depth=6 rate=0.05 trees=300"
    assert best.data.metrics["validation_log_loss"] == pytest.approx(0.2790, abs=1e-4)
    assert run.data.metrics["accuracy"] >= 0.8735
    assert mlflow.MlflowClient().get_model_version("census", "1").run_id == run.info.run_id


@pytest.mark.parametrize(("depths", "max_failures", "status"), [
    ((2,), 0, "FAILED"), ((2,), 4, "FINISHED"), ((2, 3), 8, "FAILED"),
])  # fmt: skip
def test_a_sweep_continues_after_failures_and_fails_with_more_than_max_failures(
    run_script, monkeypatch, tmp_path, synthetic_folder, depths, max_failures, status
):
    """A sweep that fails registers no model."""
    fit = boosting.fit

    def fail(config, *args, **kwargs):
        if config["max_depth"] in depths:
            raise MemoryError("no room")
        return fit(config, *args, **kwargs)

    monkeypatch.setattr(boosting, "fit", fail)
    for name in census.DIGESTS:  # rows without the marker of synthetic ones can be registered
        text = (synthetic_folder / name).read_text().removeprefix(f"{synthetic.MARKER}\n")
        (tmp_path / name).write_text(text)
    options = ["--data", tmp_path, "--max_failures", max_failures, "--register", "census"]
    done = run_script(sweep.main, *SMALL, *options)
    assert done.returncode == (1 if status == "FAILED" else 0), done.stderr
    assert "Traceback" not in done.stderr
    (run,) = sweeps()
    failed = children_of(run, "FAILED")
    assert run.info.status == status
    assert len(failed) == 4 * len(depths)
    assert {child.data.tags["error"] for child in failed} == {"MemoryError: no room"}
    assert (board(run)["error"] == "MemoryError: no room").sum() == 4 * len(depths)
    registered = mlflow.MlflowClient().search_registered_models()
    assert len(registered) == (status == "FINISHED")
    if status == "FAILED":
        reason = f"{len(failed)} of 8 configurations failed: MemoryError: no room"
        assert run.data.tags["error"].startswith(reason)
        assert done.stderr.rstrip().splitlines()[-1].startswith(f"error: {reason}")
        assert reason in run.data.tags[runs.DESCRIPTION]
    if len(depths) == 1:  # there is a winner, and a model of it
        assert set(run.data.metrics) >= TEST_METRICS
        assert "The best of 8 configurations" in run.data.tags[runs.DESCRIPTION]


@pytest.mark.parametrize(("number", "budget"), [(signal.SIGINT, "none"), (signal.SIGTERM, "1h")])
def test_a_signal_ends_the_children_in_flight_within_seconds(
    number, budget, tmp_path, synthetic_folder
):
    mlflow.search_runs()
    endless = ["--max_depth", "2,3", "--learning_rate", "0.1", "--n_estimators", "50000"]
    endless += ["--budget", budget]
    log = tmp_path / "log"
    with started([*endless, "--data", synthetic_folder], log) as process:
        wait_for(lambda: sweeps() and len(children_of(sweeps()[0], "RUNNING")) == 2)
        time.sleep(1)
        process.send_signal(number)
        assert process.wait(15) == 128 + number
    (run,) = sweeps()
    assert run.info.status == "KILLED"
    assert (len(children_of(run)), len(children_of(run, "KILLED"))) == (0, 2)
    for child in children_of(run, "KILLED"):
        assert child.data.tags["ended_by"] == number.name
        assert [i.tags[0].value for i in child.inputs.dataset_inputs] == ["training"]
    assert not search("attributes.status = 'RUNNING'")
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize(
    "points",
    [
        pytest.param(LONG, id="grid"),
        pytest.param([*LONG, "--budget", "1h"], id="budget", marks=pytest.mark.slow),
        pytest.param(TRIALS, id="tpe", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_again_and_again_a_sweep_ends_as_if_nothing_had_happened(
    run_script, tmp_path, synthetic_folder, points, kills
):
    """SIGKILL at random moments: exactly the points, none twice, none RUNNING, the same model."""
    mlflow.search_runs()
    arguments = [*points, "--data", synthetic_folder, "--subsample", "0.8"]
    seed = random.randrange(10**6)
    print("seed", seed)
    moments = random.Random(seed)
    killed, log = 0, tmp_path / "log"
    for _ in range(kills):
        with started(arguments, log) as process:
            wait_for(lambda: {"grid", "tpe"} & {*log.read_text().split()})
            time.sleep(moments.uniform(0, 2))
            killed += process.poll() is None
    assert killed >= kills / 2, "the kills came too late to mean anything"
    done = run_script(sweep.main, *arguments)
    assert done.returncode == 0, done.stderr
    last = sweeps()[0]
    assert not search("attributes.status = 'RUNNING'")
    whole = search(f"attributes.status = 'FINISHED' and tags.`{child_runs.CONFIG}` != ''")
    assert len(whole) == 12
    assert len({child.data.tags["sweep.config"] for child in whole}) == 12
    table_of = board(last)
    assert sorted(table_of["run_id"]) == sorted(["", *(child.info.run_id for child in whole)])

    undisturbed = run_script(sweep.main, *arguments, "--resume", "never")
    assert undisturbed.returncode == 0
    reference = sweeps()[0]
    assert reference.data.tags["model.digest"] == last.data.tags["model.digest"]
    metrics = {c.data.tags["sweep.config"]: c.data.metrics for c in children_of(reference)}
    assert {c.data.tags["sweep.config"]: c.data.metrics for c in whole} == metrics
    best = [mlflow.get_run(r.data.tags["sweep.best_run_id"]).data for r in (last, reference)]
    assert best[0].params == best[1].params


@pytest.mark.slow
def test_two_sweeps_at_once_on_one_store(tmp_path, synthetic_folder):
    mlflow.search_runs()
    arguments = [*LONG, "--data", synthetic_folder, "--resume", "never"]
    logs = [tmp_path / "one", tmp_path / "two"]
    with started(arguments, logs[0]) as one, started(arguments, logs[1]) as two:
        assert [one.wait(120), two.wait(120)] == [0, 0], [log.read_text() for log in logs]
    runs = sweeps()
    assert [run.info.status for run in runs] == ["FINISHED", "FINISHED"]
    assert [len(children_of(run)) for run in runs] == [12, 12]
    assert len({run.data.tags["model.digest"] for run in runs}) == 1
    assert not search("attributes.status = 'RUNNING'")


@pytest.mark.slow
def test_a_tracking_server_may_be_away_for_a_while(tmp_path, synthetic_folder, monkeypatch):
    """15 seconds without an answer, in the middle: nothing lost, none twice, none RUNNING."""
    port = free_port()
    command = [
        "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{tmp_path}/server.db",
        "--artifacts-destination", f"{tmp_path}/artifacts",
    ]  # fmt: skip
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    with running(command, port, tmp_path / "first.log", "/health"):
        background = started([*LONG, "--data", synthetic_folder], tmp_path / "log")
        process = background.__enter__()
        wait_for(lambda: len(search("attributes.status = 'FINISHED'")) >= 2)
    try:
        assert process.poll() is None, (tmp_path / "log").read_text()
        time.sleep(15)
        with running(command, port, tmp_path / "second.log", "/health"):
            assert process.wait(180) == 0, (tmp_path / "log").read_text()
            (run,) = sweeps()
            assert run.info.status == "FINISHED"
            assert len(children_of(run)) == 12
            assert len({c.data.tags["sweep.config"] for c in children_of(run)}) == 12
            assert not search("attributes.status = 'RUNNING'")
            assert len(board(run)) == 13
    finally:
        background.__exit__(None, None, None)


def test_an_empty_grid_of_ideas_is_one_configuration(run_script, synthetic_folder):
    """Every list of one value: a sweep still has a child, a table and a picture."""
    options = ["--max_depth", 2, "--learning_rate", 0.3, "--n_estimators", 5]
    done = run_script(sweep.main, *options, "--data", synthetic_folder)
    assert done.returncode == 0, done.stderr
    (run,) = sweeps()
    assert run.info.run_name == "synthetic sweep of 1 configuration"
    assert "plots/sweep.png" in artifacts(run)
    assert len(children_of(run)) == 1
