"""A table in files, read and trained on by the workers of a Dask cluster."""

import re
from contextlib import nullcontext
from dataclasses import replace
from unittest.mock import Mock

import mlflow
import numpy as np
import pandas as pd
import pytest
from distributed import KilledWorker

from tabular.cluster import connection, partitions
from tabular.data import census, reading, sources
from tabular.data.census import CENSUS
from tabular.errors import UserError, WorkFailed
from tabular.evaluation import drift
from tabular.tracking import logged_model
from tests.helpers import PROJECT
from tests.tables import churn

TRAIN = ["python", PROJECT / "train.py", "--executor"]


@pytest.fixture(scope="module")
def tables(tmp_path_factory, synthetic_folder):
    """The synthetic rows as one file, and in parts of each kind; by name."""
    folder = tmp_path_factory.mktemp("tables")
    rows = {}
    for name, own in sources.SPLIT_NAMES.items():
        split = reading.read_split(synthetic_folder / name, CENSUS)
        kinds = {name: float if name in CENSUS.numeric else object for name in CENSUS.features}
        frame = split.X.astype(kinds)
        rows[own] = frame.where(frame.notna(), None).assign(
            income=np.where(split.y, CENSUS.positive, CENSUS.negative)
        )
    for kind in ("csv", "parquet"):
        (folder / kind / "train").mkdir(parents=True)
        edges = [0, 1500, 2400, 4000]
        for number, (first, end) in enumerate(zip(edges, edges[1:], strict=False)):
            write(rows["train"][first:end], folder / kind / "train" / f"part-{number}.{kind}")
        write(rows["test"], folder / kind / f"test.{kind}")
    (folder / "csv" / "train" / "_SUCCESS").touch()
    return {"one": synthetic_folder, "csv": folder / "csv", "parquet": folder / "parquet"}


def write(frame: pd.DataFrame, path):
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_parts_of_any_kind_are_the_same_table(tables, kind):
    whole, parts = sources.load(str(tables["one"])), sources.load(str(tables[kind]))
    for name in sources.SPLIT_NAMES.values():
        one, many = getattr(whole, name), getattr(parts, name)
        assert many.X.equals(one.X)
        assert many.y.tolist() == one.y.tolist()
    assert (parts.origin, parts.train.name, parts.test.name) == (
        "directory", "train", f"test.{kind}",
    )  # fmt: skip


def runs():
    """The newest first."""
    return mlflow.MlflowClient().search_runs(["0"])


@pytest.mark.slow
def test_workers_train_the_same_kind_of_model(tables, run_command):
    """On parts of a table or on one file, as good as here, and it answers raw rows."""
    options = ["--max_depth", "2", "--learning_rate", "0.3"]
    for executor, kind in (("local", "one"), ("dask", "one"), ("dask", "parquet")):
        done = run_command(*TRAIN, executor, "--data", tables[kind], *options)
        assert done.returncode == 0, done.stderr
    *spread, here = runs()
    assert all(run.data.metrics["worker_peak_memory_mb"] > 50 for run in spread)
    rows = pd.read_parquet(tables["parquet"] / "test.parquet").drop(columns="income")
    expected = None
    for run in [here, *spread]:
        assert run.info.status == "FINISHED"
        for name, value in here.data.metrics.items():
            if name in ("accuracy", "roc_auc", "log_loss"):
                assert run.data.metrics[name] == pytest.approx(value, abs=0.01), name
        curve = mlflow.MlflowClient().get_metric_history(run.info.run_id, "train_log_loss")
        assert len(curve) == 100
        assert curve[-1].value < curve[0].value
        (dataset,) = (i.dataset for i in run.inputs.dataset_inputs if i.tags[0].value == "training")
        assert '"num_rows": 4000' in dataset.profile
        answers = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model").predict(rows)
        expected = answers["probability"] if expected is None else expected
        assert np.corrcoef(answers["probability"], expected)[0, 1] > 0.98
    assert here.data.tags["data.digest"] == spread[1].data.tags["data.digest"]
    done = run_command("python", PROJECT / "reproduce.py", "--run_id", spread[0].info.run_id)
    assert done.returncode == 1
    assert "likely because executor was dask, is local" in done.stderr


@pytest.mark.slow
def test_one_file_of_any_table_is_trained_on_as_here(tmp_path, run_command):
    frame = churn(600).assign(place=[f"place {row % 30}" for row in range(600)])
    frame.to_csv(tmp_path / "churn.csv", index=False)
    options = ["--data", tmp_path / "churn.csv", "--label", "Churn", "--n_estimators", "5"]
    done = [run_command(*TRAIN, executor, *options) for executor in ("local", "dask")]
    printed = [re.findall("^(?:data|label|table|      ) .*", run.stdout, re.M) for run in done]
    assert printed[0] == printed[1]
    assert "place (30 values)" in "".join(printed[1])
    here, there = (run.data.metrics for run in runs())
    assert there["log_loss"] == pytest.approx(here["log_loss"], abs=0.02)


def test_early_stopping_finds_its_number_of_trees_on_rows_of_every_part(tables, run_command):
    options = ["--learning_rate", "0.3", "--n_estimators", "300", "--early_stopping_rounds", "5"]
    done = run_command(*TRAIN, "dask", "--data", tables["csv"], *options)
    assert done.returncode == 0, done.stderr
    (run,) = runs()
    best = run.data.metrics["best_n_estimators"]
    curve = mlflow.MlflowClient().get_metric_history(run.info.run_id, "validation_log_loss")
    values = [point.value for point in sorted(curve, key=lambda point: point.step)]
    assert best == np.argmin(values) + 1 == len(values) - 5
    thresholds = mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/thresholds.csv")
    assert thresholds.splitlines()[1].endswith(",validation")


def drawn(y, edges, seed=0):
    """The validation rows of partitions that are cut at some rows, (n_samples,), bool."""
    parts = np.split(y, edges)
    before = np.cumsum([[0, 0], *(np.bincount(part, minlength=2) for part in parts)], axis=0)
    found = [
        partitions._is_validation(part, seed, tuple(counts))
        for part, counts in zip(parts, before, strict=False)
    ]
    return np.concatenate(found)


@pytest.mark.parametrize("order", ["sorted", "random"])
def test_a_fifth_of_each_label_validates_however_the_rows_are_cut(order):
    rng = np.random.default_rng(0)
    y = (np.arange(1000) >= 900).astype(np.int8)
    y = y if order == "sorted" else rng.permutation(y)
    whole = drawn(y, [])
    assert np.bincount(y[whole]).tolist() == [180, 20]
    for n_cuts in (3, 40, 999):
        assert np.array_equal(drawn(y, sorted(rng.choice(1000, n_cuts))), whole)
    assert not np.array_equal(drawn(y, [], seed=1), whole)
    assert np.ptp(np.flatnonzero(whole) % 5) == 4


def test_a_rare_label_has_enough_rows_in_all_partitions_together():
    counts = {"name": "train", "digest": "", "synthetic": False}
    counts |= {"n_categories": {}, "group_values": {}}
    split = partitions.PartitionedSplit([], n_rows=1000, n_positive=4, **counts)
    with pytest.raises(UserError, match="at least 5 training rows of each label, got 4"):
        partitions.DaskTrainer(Mock()).validation_splits(split, 0)
    enough = replace(split, n_positive=5)
    assert partitions.DaskTrainer(Mock()).validation_splits(enough, 7) == [7]


def test_a_task_that_kills_its_workers_is_named_in_words(monkeypatch):
    monkeypatch.setattr(connection, "connect", lambda *args, **kwargs: nullcontext(Mock()))
    worker = Mock(address="tcp://127.0.0.1:1")
    message = "executor: task '_read' killed its workers"
    with pytest.raises(WorkFailed, match=message), partitions.connect_trainer(Mock()):
        raise KilledWorker("_read", worker, 3)


@pytest.mark.slow
def test_sorted_rows_of_more_partitions_than_a_label_has_rows_are_trained_on(tmp_path, run_command):
    """Some partitions have one label only, and some of 7 have no row to validate on."""
    frame = churn(60).sort_values("Churn")
    (tmp_path / "train").mkdir()
    frame.to_csv(tmp_path / "test.csv", index=False)
    for number, first in enumerate(range(0, 60, 9)):
        frame[first : first + 9].to_csv(tmp_path / "train" / f"{number}.csv", index=False)
    options = ["--label", "Churn", "--early_stopping_rounds", "5", "--threshold", "f1"]
    done = run_command(*TRAIN, "dask", "--data", tmp_path, *options)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_bad_row_in_a_part_is_named_and_there_is_no_run(tables, tmp_path, run_command):
    folder = tmp_path / "spoilt"
    (folder / "train").mkdir(parents=True)
    (folder / "test.csv").symlink_to(tables["csv"] / "test.csv")
    for path in (tables["csv"] / "train").glob("*.csv"):
        (folder / "train" / path.name).write_bytes(path.read_bytes())
    bad = folder / "train" / "part-1.csv"
    lines = bad.read_text().splitlines()
    bad.write_text("\n".join([*lines[:10], "1,2,3", *lines[10:]]))
    done = run_command(*TRAIN, "dask", "--data", folder)
    assert done.returncode == 2
    assert done.stderr == f"error: {bad} line 11: expected 15 fields, got 3\n"
    assert runs() == []


def test_a_split_lies_in_one_place(tables, tmp_path, synthetic_folder):
    (tmp_path / "train").mkdir()
    (tmp_path / census.TEST).symlink_to(synthetic_folder / census.TEST)
    with pytest.raises(
        sources.UserError, match=f"{tmp_path}/train: expected files that end in .csv"
    ):
        sources.load(str(tmp_path))
    (tmp_path / census.TRAIN).symlink_to(synthetic_folder / census.TRAIN)
    with pytest.raises(sources.UserError, match="expected one of adult.data and train, found both"):
        sources.load(str(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["one_file", "folder"])
def test_a_table_that_is_inferred_is_the_same_on_a_cluster(form, tmp_path, run_command):
    """The kinds, labels, bands and columns that are left out come from all files together."""
    frame = churn(4000)
    data = tmp_path / "churn.csv"
    if form == "one_file":
        frame.to_csv(data, index=False)
    else:
        data = tmp_path / "churn"
        (data / "train").mkdir(parents=True)
        frame[:1000].to_parquet(data / "train" / "a.parquet")
        frame[1000:3000].to_parquet(data / "train" / "b.parquet")
        frame[3000:].to_parquet(data / "test.parquet")
    table = ["--data", data, "--label", "Churn", "--groups", "contract,tenure", "--max_depth", "2"]
    for executor in ("local", "dask"):
        done = run_command(*TRAIN, executor, *table)
        assert done.returncode == 0, done.stderr
    dask, local = runs()
    assert dask.data.tags["data.digest"] == local.data.tags["data.digest"]
    recorded = [
        mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/table.json") for run in (dask, local)
    ]
    if form == "one_file":
        assert recorded[0] == recorded[1]
    for name in ("accuracy", "roc_auc", "log_loss"):
        assert dask.data.metrics[name] == pytest.approx(local.data.metrics[name], abs=0.03), name
    profiles = [
        drift.Profile.from_json(
            mlflow.artifacts.download_artifacts(
                f"runs:/{run.info.run_id}/model/artifacts/{logged_model.PROFILE}"
            )
        )
        for run in (dask, local)
    ]
    assert profiles[0].columns[:-1] == profiles[1].columns[:-1]
