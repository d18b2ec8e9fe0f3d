"""Scoring a file: what the served model answers, row for row; and nothing is ever lost."""

import csv
import itertools
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import score
import train
from tabular import scoring
from tabular.data import census, readers, sources, synthetic, writers
from tabular.data.census import CENSUS
from tabular.errors import UserError
from tabular.evaluation import metrics
from tabular.model import boosting
from tabular.model.hyperparameters import DEFAULTS
from tabular.tracking import logged_model
from tests.helpers import PROJECT

SCORE = ["python", PROJECT / "score.py"]


@pytest.fixture(scope="module")
def logged(tmp_path_factory, empty_store, synthetic_folder):
    """A logged model in a store of its own: its address, and the store's."""
    folder = tmp_path_factory.mktemp("logged")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        patch.chdir(folder)
        command = ["python", PROJECT / "train.py", "--data", synthetic_folder, "--max_depth", "4"]
        subprocess.run([str(word) for word in command], check=True, capture_output=True)
        run = mlflow.search_runs(output_format="list")[0]
    return f"runs:/{run.info.run_id}/model", f"sqlite:///{folder}/mlflow.db"


@pytest.fixture
def address(logged, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", logged[1])
    mlflow.set_tracking_uri(logged[1])
    yield logged[0]
    mlflow.set_tracking_uri(None)


@pytest.fixture
def raw(synthetic_folder):
    """200 raw rows as a client would have them, and their labels."""
    split = sources.load(str(synthetic_folder)).test
    return logged_model.to_client_frame(split.X.head(200)), split.y[:200]


def newest():
    return mlflow.search_runs(order_by=["start_time DESC"], output_format="list")[0]


def leftovers(folder):
    return [*folder.glob(".*.part")]


@pytest.mark.parametrize(
    ("source", "target"),
    [
        *itertools.product(
            ["rows.csv", "rows.parquet", "rows.data"], ["out.csv", "out.parquet", "out.test"]
        ),
        ("rows.csv.gz", "out.csv.gz"),
        ("rows.tsv", "out.tsv.gz"),
        ("rows.data.gz", "out.csv"),
    ],
)
def test_the_answers_are_those_of_the_served_model(
    address, raw, tmp_path, run_script, source, target
):
    X, y = raw
    labels = np.array([CENSUS.negative, CENSUS.positive])[y]
    X = X.assign(income=labels)
    text = {"na_rep": "?", "header": False} if source.startswith("rows.data") else {}
    text |= {"sep": "\t"} if ".tsv" in source else {}
    if source == "rows.parquet":
        X.to_parquet(tmp_path / source)
    else:
        X.to_csv(tmp_path / source, index=False, **text)
    done = run_script(
        score.main, "--model", address, "--input", source, "--output", target, "--threshold", 0.3
    )
    assert done.returncode == 0, done.stderr
    expected = mlflow.pyfunc.load_model(address).predict(
        X.drop(columns="income"), params={"threshold": 0.3}
    )
    names = [*CENSUS.features, "true_income", "income", "probability"]
    if target == "out.parquet":
        found = pd.read_parquet(target)
        assert [*found] == names
    elif "out.test" not in target:
        found = pd.read_csv(target, sep="\t" if ".tsv" in target else ",")
        assert [*found] == names
    else:
        found = pd.read_csv(target, names=names, skipinitialspace=True, na_values="?")
    assert found["income"].tolist() == expected["income"].tolist()
    assert found["probability"].tolist() == expected["probability"].tolist()
    assert found["true_income"].tolist() == labels.tolist()
    for name in CENSUS.numeric:
        assert found[name].tolist() == X[name].tolist()
    assert not writers.bad_rows_path(tmp_path / target).exists()
    assert not leftovers(tmp_path)
    run, probability = newest(), expected["probability"].to_numpy()
    assert run.info.status == "FINISHED"
    assert run.info.run_name == f"score {source}"
    assert run.data.params == {
        "model": address, "input": source, "output": target, "threshold": "0.3",
        "explain": "0", "drift": "true",
    }  # fmt: skip
    logged = run.data.metrics
    assert [logged[f"rows_{name}"] for name in ("scored", "bad", "labelled")] == [200, 0, 200]
    assert logged["selection_rate"] == np.mean(probability >= 0.3)
    assert logged["mean_probability"] == pytest.approx(probability.mean())
    for name, value in metrics.classification_metrics(y, probability, 0.3).items():
        assert logged[f"score_{name}"] == pytest.approx(value, abs=1e-5), name
    assert "WARNING: this model was trained on SYNTHETIC ROWS" in done.stderr


def test_the_default_threshold_is_that_of_the_model(raw, run_script, synthetic_folder, tmp_path):
    options = ["--data", synthetic_folder, "--n_estimators", 5, "--threshold", 0.2]
    assert run_script(train.main, *options).returncode == 0
    address = f"runs:/{newest().info.run_id}/model"
    raw[0].to_csv(tmp_path / "rows.csv", index=False)
    done = run_script(score.main, "--model", address, "--input", "rows.csv", "--output", "out.csv")
    assert f"are {CENSUS.positive} at threshold 0.2\n" in done.stdout
    expected = mlflow.pyfunc.load_model(address).predict(raw[0])
    assert pd.read_csv("out.csv")["income"].tolist() == expected["income"].tolist()
    assert newest().data.params["threshold"] == "model"
    run_script(
        score.main, "--model", address, "--input", "rows.csv", "--output", "out.csv",
        "--threshold", 0.5,
    )  # fmt: skip
    assert pd.read_csv("out.csv")["income"].tolist() != expected["income"].tolist()


def test_nothing_is_left_in_the_model(address, logged, raw, run_command):
    """Bytecode beside its code, cut off by a full disk, would break the model for good."""
    models = Path(logged[1].removeprefix("sqlite:///")).parent / "mlruns"
    for folder in models.rglob("__pycache__"):
        shutil.rmtree(folder)
    raw[0].to_csv("rows.csv", index=False)
    options = ["--model", address, "--input", "rows.csv", "--output", "out.csv"]
    assert run_command(*SCORE, *options).returncode == 0
    assert [*models.rglob("served.py")]
    assert not [*models.rglob("__pycache__")]


def test_bad_rows_are_set_aside_counted_and_told(address, raw, tmp_path, run_script):
    """1 % of 10,000 rows, of all kinds: the others are scored as if alone."""
    X = pd.concat([raw[0]] * 50, ignore_index=True)
    X.to_csv("good.csv", index=False)
    header, *lines = (tmp_path / "good.csv").read_text().splitlines()
    spoiled = [*lines]
    for place in range(0, 10_000, 100):
        kind = place // 100 % 4
        spoiled[place] = ("1,2,3", "x" + lines[place], '"' + lines[place], lines[place] + ",")[kind]
    (tmp_path / "bad.csv").write_text("\n".join([header, *spoiled]) + "\n")
    options = ["--model", address, "--output"]
    assert run_script(score.main, *options, "good-out.csv", "--input", "good.csv").returncode == 0
    done = run_script(score.main, *options, "out.csv", "--input", "bad.csv")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    side = tmp_path / "out.csv.bad.csv"
    line = f"100 bad rows were not scored: {side} has each and why"
    assert done.stderr.splitlines()[-1] == f"error: {line}"
    run = newest()
    assert (run.info.status, run.data.tags["error"]) == ("FAILED", line)
    assert run.data.metrics["rows_scored"] == 9900
    assert run.data.metrics["rows_bad"] == 100
    first, *good = (tmp_path / "good-out.csv").read_text().splitlines()
    expected = [line for place, line in enumerate(good) if place % 100]
    assert (tmp_path / "out.csv").read_text().splitlines() == [first, *expected]
    with side.open(newline="") as file:
        bad = [*csv.DictReader(file)]
    assert [int(row["line"]) for row in bad] == [*range(2, 10_002, 100)]
    assert [row["row"] for row in bad[::4]] == ["1,2,3"] * 25
    assert all(row["reason"].startswith("expected") or ": expected" in row["reason"] for row in bad)
    # mended, the same output has no bad rows, and no file says otherwise
    assert run_script(score.main, *options, "out.csv", "--input", "good.csv").returncode == 0
    assert (tmp_path / "out.csv").read_text() == (tmp_path / "good-out.csv").read_text()
    assert not side.exists()


@pytest.mark.slow
def test_a_file_cut_off_loses_only_the_row_in_which_it_ends(address, raw, tmp_path, run_script):
    raw[0].to_csv("whole.csv", index=False)
    content = (tmp_path / "whole.csv").read_bytes()
    (tmp_path / "cut.csv").write_bytes(content[: len(content) // 2])
    done = run_script(
        score.main, "--model", address, "--input", "cut.csv", "--output", "out.parquet"
    )
    assert done.returncode == 1
    n_whole = content[: len(content) // 2].count(b"\n") - 1
    assert len(pd.read_parquet("out.parquet")) == n_whole
    with (tmp_path / "out.parquet.bad.csv").open(newline="") as file:
        assert [int(row["line"]) for row in csv.DictReader(file)] == [n_whole + 2]


@pytest.mark.parametrize(("options", "message"), [
    ({"model": "runs:/0/model"}, "error: model: expected the address of a model that train.py"),
    ({"input": "nowhere.csv"}, "error: input: nowhere.csv: No such file or directory"),
    ({"input": "."}, "error: input: expected a file that ends in .csv, .tsv, .csv.gz, .tsv.gz"),
    ({"input": "wrong.csv"}, "error: input: wrong.csv has no age, workclass, fnlwgt, education-"),
    ({"input": "cut.parquet"}, "error: input: cut.parquet is not a whole Parquet file: "),
    ({"input": "scored.csv"}, "error: input: score adds a column probability, and there is one"),
    ({"output": "out.txt"}, "error: output: expected a file that ends in .csv, .tsv, .csv.gz, "),
    ({"output": "rows.csv"}, "error: output: rows.csv would replace the input; name ano"),
    ({"output": "o.csv", "input": "o.csv.bad.csv"}, "error: output: o.csv would replace the inpu"),
    ({"output": "no/out.csv"}, "error: output: there is no folder /"),
    ({"output": "wrong.csv/out.csv"}, "error: output: /"),
    ({"output": "folder.csv"}, "error: output: /"),
    ({"output": f"{'x' * 246}.csv"}, "error: output: /"),  # too long with .bad.csv
    ({"input": "pointer.csv"}, "error: input: pointer.csv looks like a pointer of Git LFS; run `g"),
    ({"input": "page.csv.gz"}, "error: input: page.csv.gz looks like an HTML page; download it ag"),
    ({"threshold": "1.5"}, "error: Invalid value for '--threshold': 1.5 is not in the range 0<=x<"),
])  # fmt: skip
def test_a_slip_is_one_line_status_2_and_no_run(
    address, raw, tmp_path, run_script, options, message
):
    raw[0].to_csv("rows.csv", index=False)
    raw[0].assign(probability=0).to_csv("scored.csv", index=False)
    (tmp_path / "wrong.csv").write_text("years,education\n1,2\n")
    (tmp_path / "cut.parquet").write_bytes(b"PAR1\x00\x00\x00")
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "pointer.csv").write_text("version https://git-lfs.github.com/spec/v1\noid x\n")
    (tmp_path / "page.csv.gz").write_text("<!DOCTYPE html><html></html>")
    before, there = newest().info.run_id, sorted(tmp_path.iterdir())
    given = {"model": address, "input": "rows.csv", "output": "out.csv"} | options
    done = run_script(score.main, *(f"--{name}={value}" for name, value in given.items()))
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1
    assert ".part" not in done.stderr
    assert newest().info.run_id == before
    assert sorted(tmp_path.iterdir()) == there


@pytest.mark.parametrize("target", ["out.csv", "out.parquet", "out.data"])
def test_no_rows_are_scored_too(address, raw, run_script, target):
    raw[0].head(0).to_csv("none.csv", index=False)
    done = run_script(score.main, "--model", address, "--input", "none.csv", "--output", target)
    assert done.returncode == 0, done.stderr
    assert "score  0 rows scored, 0 bad" in done.stdout
    names = [*CENSUS.features, "income", "probability"]
    if target == "out.csv":
        assert [*pd.read_csv(target)] == names
    elif target == "out.parquet":
        assert [*pd.read_parquet(target)] == names


def test_a_relative_path_is_refused_in_a_clone_that_mlflow_made(
    address, tmp_path, run_script, monkeypatch
):
    clone = tmp_path / "tmp" / "tmpabcdefgh"
    clone.mkdir()
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    options = ["--model", address, "--input", "/x.csv", "--output", "out.csv"]
    monkeypatch.chdir(clone)
    done = run_script(score.main, *options)
    assert done.returncode == 2
    assert done.stderr.startswith("error: output: expected an absolute path, got 'out.csv'")


@pytest.mark.parametrize("name", ["OUT.csv", "OUT.csv.bad.csv"])
def test_another_name_of_the_input_is_no_output(tmp_path, name):
    """As on Windows and macOS, where OUT.csv and out.csv are one file."""
    (tmp_path / "in.csv").touch()
    (tmp_path / name).hardlink_to(tmp_path / "in.csv")
    with pytest.raises(UserError, match=r"OUT\.csv would replace the input"):
        scoring._require_paths("in.csv", "OUT.csv")


@pytest.fixture(scope="module")
def many_rows(tmp_path_factory):
    """A file of 600,000 rows: some seconds of work."""
    folder = tmp_path_factory.mktemp("many")
    synthetic.write(folder, 60_000)
    block = (folder / census.TRAIN).read_bytes()
    path = folder / "many.data"
    path.write_bytes(block * 10)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_killed_in_the_middle_it_leaves_what_was_there(address, tmp_path, many_rows, number):
    target = tmp_path / "out.csv"
    target.write_text("before")
    command = [*SCORE, "--model", address, "--input", many_rows, "--output", target]
    process = subprocess.Popen([str(word) for word in command], stderr=subprocess.PIPE, text=True)
    try:
        for _ in range(1200):
            if any(part.stat().st_size > 10**6 for part in leftovers(tmp_path)):
                break
            time.sleep(0.05)
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert target.read_text() == "before"
    assert not writers.bad_rows_path(target).exists()
    if number == signal.SIGKILL:
        assert process.returncode == -number
        return
    assert process.returncode == 128 + number
    assert newest().info.status == "KILLED"
    assert "Traceback" not in errors
    assert not leftovers(tmp_path)


def test_a_full_disk_is_one_line_and_leaves_what_was_there(
    address, tmp_path, many_rows, run_command
):
    target = tmp_path / "out.csv"
    target.write_text("before")

    def allow_little():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000_000, 20_000_000))

    command = [*SCORE, "--model", address, "--input", many_rows, "--output", target]
    done = run_command(*command, preexec_fn=allow_little)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: [Errno 27] File too large")
    assert newest().info.status == "FAILED"
    assert target.read_text() == "before"
    assert not leftovers(tmp_path)


@pytest.fixture(scope="module")
def served(synthetic_folder, tmp_path_factory):
    """A model loaded as MLflow serves it."""
    rows = sources.load(str(synthetic_folder))
    booster = boosting.fit(DEFAULTS, boosting.bin_rows(rows.train.X, rows.train.y))[0]
    boosting.set_labels(booster, CENSUS)
    folder = tmp_path_factory.mktemp("served")
    booster.save_model(folder / "booster.ubj")
    mlflow.pyfunc.save_model(
        folder / "model",
        python_model=PROJECT / "tabular" / "model" / "served.py",
        artifacts={"booster": str(folder / "booster.ubj")},
        signature=logged_model.logged_signature(CENSUS),
        pip_requirements=[],
    )
    return mlflow.pyfunc.load_model(str(folder / "model"))


NUMBERS = st.one_of(st.none(), st.integers(-(10**6), 10**6), st.floats(-1e38, 1e38))
KNOWN = ["Private", "Bachelors", "Husband", "Male", "Sales", "United-States", " White", "Mars"]
WORDS = st.one_of(
    st.none(),
    st.sampled_from(KNOWN),
    st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=9),
)
PERSON = st.fixed_dictionaries(
    {name: NUMBERS if name in CENSUS.numeric else WORDS for name in CENSUS.features}
)


@settings(max_examples=60)
@given(st.lists(PERSON, min_size=1, max_size=8), st.sampled_from([".csv", ".parquet"]), st.data())
def test_any_row_scored_from_a_file_is_answered_as_over_rest(
    served, tmp_path_factory, people, suffix, chosen
):
    """The reference gets values, and never sees a file."""
    folder = tmp_path_factory.mktemp("people")
    threshold = chosen.draw(st.sampled_from([0.0, 0.25, 0.5, 1.0]))
    kinds = {name: float if name in CENSUS.numeric else object for name in CENSUS.features}
    values = pd.DataFrame(people, columns=[*CENSUS.features]).astype(kinds)
    values = values.astype(object).where(values.notna(), None)
    frame = values.astype(dict.fromkeys(CENSUS.numeric, float))
    expected = served.predict(frame, params={"threshold": threshold})
    if suffix == ".csv":
        with (folder / "in.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([CENSUS.features, *values.itertuples(index=False)])
    else:
        columns = {
            name: pa.array(values[name], pa.float64() if name in CENSUS.numeric else pa.string())
            for name in CENSUS.features
        }
        pa.parquet.write_table(pa.table(columns), folder / "in.parquet")
    unwrapped = served.unwrap_python_model()
    with readers.open_rows(folder / f"in{suffix}", "input") as source:
        job = scoring.ScoringJob(
            source,
            folder / "out.parquet",
            CENSUS,
            lambda X: unwrapped.booster.inplace_predict(unwrapped.encode(X)),
            threshold,
        )
        figures = scoring.score_source(job)
    assert figures["rows_scored"] == len(people)
    found = pd.read_parquet(folder / "out.parquet")
    assert found["income"].tolist() == expected["income"].tolist()
    assert found["probability"].tolist() == expected["probability"].tolist()
