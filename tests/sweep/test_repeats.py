"""The chosen configuration on other splits: what is evaluated, reused, summed up and printed."""

import mlflow
import numpy as np
import pandas as pd
import pytest

import reproduce
import sweep
from tabular.model.hyperparameters import DEFAULTS
from tabular.sweep import child_runs, repeats
from tests.helpers import SMALL, children_of, search, sweeps

NAMES = ("log_loss", "accuracy", "roc_auc")


def table_of(*rows):
    """A table as ``repeat`` returns it, of (config, seed, log_loss, error)."""
    filled = [(c, seed, loss, 0.8, 0.9, "id", error) for c, seed, loss, error in rows]
    return pd.DataFrame(filled, columns=["config", "seed", *NAMES, "run_id", "error"])


TABLE = table_of(
    ("chosen", 1, 0.2, ""), ("chosen", 2, 0.3, ""), ("chosen", 3, 0.4, ""),
    ("defaults", 1, 0.3, ""), ("defaults", 2, 0.2, ""),
)  # fmt: skip


def recorded(run):
    """The table ``repeats.csv`` of a sweep."""
    path = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="repeats.csv")
    return pd.read_csv(path)


def test_the_summary_has_mean_deviation_and_error_and_compares_on_the_same_splits():
    found = repeats.summarize(TABLE)
    assert found["repeats_log_loss"] == pytest.approx(0.3)
    assert found["repeats_log_loss_std"] == pytest.approx(0.1)
    assert found["repeats_log_loss_se"] == pytest.approx(0.1 / np.sqrt(3))
    assert found["repeats_log_loss_difference"] == pytest.approx(0.0)
    assert found["repeats_log_loss_difference_std"] == pytest.approx(np.std([-0.1, 0.1], ddof=1))
    assert found["repeats_accuracy_std"] == pytest.approx(0)


@pytest.mark.parametrize(("table", "n_wanted", "folds", "lines"), [
    (TABLE, 3, 1, [
        "repeat log_loss 0.3000 (sd 0.1000), accuracy 0.8000 (sd 0.0000), roc_auc 0.9000 (sd "
        "0.0000) on 3 other splits",
        "       log_loss +0.0000 (sd 0.1414) against the defaults, better on 1 of 2",
    ]),
    (TABLE[:1], 4, 5, [
        "repeat log_loss 0.2000, accuracy 0.8000, roc_auc 0.9000 on 1 of 4 other divisions into 5 "
        "folds: the budget is spent",
    ]),
    (table_of(("chosen", 1, np.nan, "MemoryError: no room")), 2, 1, [
        "repeat no result on 0 of 2 other splits: MemoryError: no room",
    ]),
    (TABLE[:0], 2, 1, ["repeat no result on 0 of 2 other splits: the budget is spent"]),
])  # fmt: skip
def test_the_lines_say_how_many_splits_there_are_and_why_some_are_missing(
    table, n_wanted, folds, lines
):
    assert repeats.describe(table, "log_loss", n_wanted, folds).splitlines() == lines


def test_repetitions_are_what_sweeps_of_other_seeds_find(run_script, synthetic_folder):
    """They have child runs of their own, which are reused and can be reproduced."""
    options = ["--data", synthetic_folder, "--seed", 6, "--folds", 2, "--subsample", "0.8"]
    done = run_script(sweep.main, *SMALL, *options, "--repeats", 2)
    assert done.returncode == 0, done.stderr
    (run,) = sweeps()
    table = recorded(run)
    assert table[["config", "seed"]].values.tolist() == [
        ["chosen", 7], ["chosen", 8], ["defaults", 7], ["defaults", 8],
    ]  # fmt: skip
    for name, value in repeats.summarize(table).items():
        assert run.data.metrics[name] == pytest.approx(value)
    assert repeats.describe(table, "log_loss", 2, 2) in done.stdout
    repeated = search(f"tags.`{child_runs.REPEAT}` != ''")
    assert {child.info.run_id for child in repeated} == {*table["run_id"]}
    assert len(children_of(run)) == 8 + 4
    best = mlflow.get_run(run.data.tags["sweep.best_run_id"])
    for child in repeated:
        chosen = child.info.run_id in [*table["run_id"][:2]]
        expected = best.data.params if chosen else {k: str(v) for k, v in DEFAULTS.items()}
        assert child.data.params == best.data.params | {
            name: expected[name] for name in DEFAULTS
        } | {"seed": str(6 + int(child.data.tags[child_runs.REPEAT]))}
        assert child.info.run_name.endswith(f"seed={child.data.params['seed']}")
    done = run_script(reproduce.main, "--run_id", table["run_id"][1])
    assert "identical: all" in done.stdout, done.stdout + done.stderr

    done = run_script(sweep.main, *SMALL, *options, "--repeats", 3)
    second = sweeps()[0]
    assert len(children_of(second)) == 2, "only those of the third seed are new"
    assert second.data.tags["sweep.resumed_from"] == run.info.run_id
    table_of_second = recorded(second)
    assert table_of_second[table_of_second["seed"] < 9].equals(
        table_of_second[table_of_second["run_id"].isin(table["run_id"])]
    )


def test_defaults_that_are_chosen_are_compared_with_nothing(run_script, synthetic_folder):
    point = [f"--{name}={value}" for name, value in DEFAULTS.items()]
    done = run_script(sweep.main, *point, "--data", synthetic_folder, "--repeats", 2)
    assert done.returncode == 0, done.stderr
    (run,) = sweeps()
    assert [*recorded(run)["config"]] == ["chosen", "chosen"]
    assert "against the defaults" not in done.stdout
    assert not [name for name in run.data.metrics if "difference_" in name and "repeats" in name]
