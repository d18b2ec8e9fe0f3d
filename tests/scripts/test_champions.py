"""The history of champions, from the runs of promote as this and earlier versions leave them."""

import shutil
import signal
from types import SimpleNamespace

import mlflow
import pandas as pd
import pytest

import promote
from tabular import cancel, champions, promotion
from tabular.tracking import registry, runs

START = 1_700_000_000_000  # 2023-11-14 22:13:20 UTC, in milliseconds
MINUTE = 60_000


@pytest.fixture
def record():
    """A function that records a run of promote, a minute after the one before it."""
    client, n_runs = mlflow.MlflowClient(), 0

    def add(tags, status="FINISHED", params=(), figure=""):
        nonlocal n_runs
        start = START + n_runs * MINUTE
        n_runs += 1
        run = client.create_run("0", start_time=start, tags=tags)
        for name, value in dict(params).items():
            client.log_param(run.info.run_id, name, value)
        if figure:
            checks = pd.DataFrame({"check": ["accuracy", "improvement"], "figure": ["0.9", figure]})
            runs.log_artifacts(run, {}, {"verdict.csv": checks})
        client.set_terminated(run.info.run_id, status, end_time=start)
        return run.info.run_id

    return add


def passed(candidate, version=None, name="it's"):
    tags = {champions.CANDIDATE: candidate, champions.NAME: name, "verdict": "passed"}
    return tags | ({champions.VERSION: version} if version else {})


def make_versions():
    """Make two versions of the model it's; returns their numbers."""
    client = mlflow.MlflowClient()
    model = client.create_logged_model("0", "model")
    client.create_registered_model("it's")
    source = f"models:/{model.model_id}"
    return [client.create_model_version("it's", source).version for _ in range(2)]


def history(run_script, name="it's"):
    done = run_script(promote.main, "--history", "true", "--name", name)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_promotions_refusals_and_rollbacks_are_listed_with_their_times(run_script, record):
    client = mlflow.MlflowClient()
    make_versions()
    ids = [
        record(passed("models:/m-1", "1")),
        record(
            {champions.CANDIDATE: "models:/m-2", champions.NAME: "it's", "verdict": "refused",
             "error": "refused, nothing is changed: improvement, group_drop"},
            "FAILED",
        ),
        record(passed("models:/m-9", "7", name="another")),
        record(passed("models:/m-3", "2"), figure="log_loss +0.1 [+0.0, +0.2]"),
        record(passed("models:/m-4", "3"), "FAILED"),  # it passed, and the alias did not move
        record({champions.NAME: "it's", champions.VERSION: "1"}, params={"rollback": "true"}),
    ]  # fmt: skip
    client.set_registered_model_alias("it's", registry.CHAMPION, 1)
    assert history(run_script) == [
        "champions of it's, times in UTC",
        f"2023-11-14 22:13  version 1 is champion until 2023-11-14 22:16, run {ids[0]}: passed, "
        "compared with no champion",
        f"2023-11-14 22:14  refused, run {ids[1]}: models:/m-2, improvement, group_drop",
        f"2023-11-14 22:16  version 2 is champion until 2023-11-14 22:18, run {ids[3]}: passed, "
        "log_loss +0.1 [+0.0, +0.2]",
        f"2023-11-14 22:17  refused, run {ids[4]}: models:/m-4, FAILED",
        f"2023-11-14 22:18  version 1 is champion until now, run {ids[5]}: rolled back from "
        "version 2",
    ]


def test_runs_of_earlier_versions_are_understood(run_script, record):
    """They recorded no version, and rollbacks no name."""
    client, versions = mlflow.MlflowClient(), make_versions()
    ids = [record(passed("models:/m-1")), record(passed("models:/m-2"))]
    for run_id, version in zip(ids, versions, strict=True):
        client.set_model_version_tag("it's", version, "verdict.run_id", run_id)
    record({}, params={"rollback": "true", "name": "it's"})
    record({}, params={"rollback": "true", "name": "auto"})  # of the census
    lines = history(run_script)
    assert [line[18:39] for line in lines[1:4]] == [
        "version 1 is champion", "version 2 is champion", "version 1 is champion",
    ]  # fmt: skip
    assert lines[3].endswith(": rolled back from version 2")
    assert len(lines) == 5


def test_an_alias_that_was_moved_by_other_means_is_said(run_script, record):
    client = mlflow.MlflowClient()
    make_versions()
    record(passed("models:/m-1", "1"))
    assert "  no version has it: the alias champion was changed" in history(run_script)[-1]
    client.set_registered_model_alias("it's", registry.CHAMPION, 2)
    *_, reign, last = history(run_script)
    assert "version 1 is champion until an unknown time" in reign
    assert "  version 2 has it: the alias champion was changed" in last


def test_a_registry_that_can_only_be_read_shows_the_history(
    run_script, record, monkeypatch, tmp_path
):
    make_versions()
    record(passed("models:/m-1", "1"))
    mlflow.MlflowClient().set_registered_model_alias("it's", registry.CHAMPION, 1)
    shutil.copy(tmp_path / "mlflow.db", tmp_path / "registry.db")
    uri = f"sqlite:///file:{tmp_path}/registry.db?mode=ro&uri=true"
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", uri)
    assert "version 1 is champion until now" in history(run_script)[-1]


@pytest.mark.parametrize(("options", "message"), [
    (["--name", "x"], "name: no run of promote in sqlite "),
    (["--rollback", "true"], "history: expected false with rollback=true"),
])  # fmt: skip
def test_a_history_of_nothing_is_an_error_and_makes_no_run(run_script, record, options, message):
    record(passed("models:/m-1", "1"))
    done = run_script(promote.main, "--history", "true", *options)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {message}")
    assert "it has for: it's" in done.stderr or "rollback" in done.stderr
    assert len(mlflow.search_runs()) == 1


def test_the_champion_that_was_lost_is_that_of_the_last_finished_promotion_of_the_name(record):
    assert promotion._describe_lost_champion("it's") == ""
    without_version = record(passed("models:/m-1"))  # as earlier versions recorded it
    lost = "is deleted or has lost the alias"
    for tags, status in (
        (passed("models:/m-3", "3", "another"), "FINISHED"),
        (passed("models:/m-4", "4"), "FAILED"),
        (passed("models:/m-5") | {"verdict": "refused"}, "FINISHED"),
    ):
        record(tags, status)
        found = promotion._describe_lost_champion("it's")
        assert found == f"that of models:/m-1, which run {without_version} made champion, {lost}"
    last = record(passed("models:/m-2", "2"))
    found = promotion._describe_lost_champion("it's")
    assert found == f"version 2, which run {last} made champion, {lost}"


def test_models_compared_for_a_name_are_counted_once_each_whatever_the_verdict(record):
    candidate, dataset = SimpleNamespace(uri="models:/m-1"), SimpleNamespace(digest="these")
    assert promotion.count_candidates("it's", candidate, dataset) == 1
    rows = {"data.digest": "these"}
    record(passed("models:/m-1") | rows)
    record(passed("models:/m-2") | rows | {"verdict": "refused"}, "FAILED")
    record(passed("models:/m-2") | rows)
    record(passed("models:/m-3", name="another") | rows)
    record(passed("models:/m-4") | {"data.digest": "last month's"})
    record({champions.NAME: "it's", champions.VERSION: "1"} | rows)  # a rollback
    assert promotion.count_candidates("it's", candidate, dataset) == 2


def test_a_rollback_that_is_cancelled_before_the_aliases_move_moves_none(monkeypatch):
    first, second = make_versions()
    client = mlflow.MlflowClient()
    for alias, version in ((registry.PREVIOUS, first), (registry.CHAMPION, second)):
        client.set_registered_model_alias("it's", alias, version)
    monkeypatch.setattr(registry, "require_loads", lambda *arguments: None)
    log_tags = runs.log_tags

    def cancelled(*arguments):
        monkeypatch.setattr(cancel, "_received", signal.SIGINT)
        return log_tags(*arguments)

    monkeypatch.setattr(runs, "log_tags", cancelled)
    with pytest.raises(cancel.Cancelled):
        promotion.roll_back("it's", {})
    assert client.get_registered_model("it's").aliases == {"previous": first, "champion": second}
