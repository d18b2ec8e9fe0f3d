"""Promotion in a registry that others have changed: copies, and runs and models that are gone."""

import shlex
import shutil
import signal
from dataclasses import replace

import mlflow
import pytest

import score
from tabular import cancel, champions
from tabular.data.census import CENSUS
from tabular.errors import UserError
from tabular.tracking import artifacts, registry, runs
from tests.scripts.test_promote import call, candidate, newest, real_rows

__all__ = ["real_rows"]  # a fixture

ANY = {"name": "x", "min_improvement": -1, "max_group_drop": 1}  # every candidate passes


@pytest.fixture
def uris(real_rows, monkeypatch):
    """The addresses of two candidates, of a table without a floor that they could miss."""
    table = replace(CENSUS, floors={"accuracy": 0.5})
    monkeypatch.setattr(runs, "recorded_table", lambda run: table)
    return [candidate(real_rows, n_estimators=n) for n in (5, 8)]


def run_id(uri):
    return uri.split("/")[1]


def champion(name="x"):
    version = registry.version_by_alias(name, "champion")
    return version and int(version.version)


def delete_run(uri):
    """As ``mlflow gc`` does after ``mlflow runs delete``."""
    mlflow.MlflowClient()._tracking_client.store._hard_delete_run(run_id(uri))


def delete_artifacts(uri):
    shutil.rmtree(artifacts.local_folder(artifacts.locate_model(uri)))


@pytest.mark.parametrize("address", ["models:/x/1", "models:/x/latest", "models:/x@new", "runs"])
def test_a_copied_version_is_promoted_itself(uris, address):
    client = mlflow.MlflowClient()
    registry.register(uris[0], "source")
    client.copy_model_version("models:/source/1", "x")
    client.set_registered_model_alias("x", "new", "1")
    call(model=uris[0] if address == "runs" else address, **ANY)
    (version,) = client.search_model_versions("name = 'x'")
    assert client.get_model_version("x", version.version).tags["verdict"] == "passed"
    assert champion() == 1


def test_the_version_that_was_named_is_promoted_and_no_later_one_of_the_same_model(uris):
    for _ in range(2):
        registry.register(uris[0], "x")
    call(model="models:/x/1", **ANY)
    assert champion() == 1


def test_a_promotion_that_is_cancelled_before_the_aliases_move_moves_none(uris, monkeypatch):
    call(model=uris[0], **ANY)
    log_verdict = registry.log_verdict

    def cancelled(*arguments):
        monkeypatch.setattr(cancel, "_received", signal.SIGINT)
        log_verdict(*arguments)

    monkeypatch.setattr(registry, "log_verdict", cancelled)
    with pytest.raises(cancel.Cancelled):
        call(model=uris[1], **ANY)
    assert champion() == 1
    assert registry.version_by_alias("x", "previous") is None


def test_a_rollback_needs_the_model_and_not_its_run(uris):
    for uri in uris:
        call(model=uri, **ANY)
    delete_run(uris[0])
    call(name="x", rollback="true")
    assert champion() == 1
    tags = newest().data.tags
    assert (tags[champions.NAME], tags[champions.VERSION]) == ("x", "1")
    with pytest.raises(UserError, match=f"version 1, the champion: run {run_id(uris[0])}") as error:
        call(model=uris[1], **ANY)
    exec(shlex.split(error.value.message)[-1])  # the way out that the message names
    call(model=uris[1], **ANY)
    assert champion() == 2
    assert newest().data.tags["candidates_compared"] == "2"


def test_a_rollback_to_a_model_that_is_gone_changes_nothing(uris):
    for uri in uris:
        call(model=uri, **ANY)
    delete_artifacts(uris[0])
    n_runs = len(mlflow.search_runs())
    with pytest.raises(UserError, match="rollback: .*/artifacts is gone"):
        call(name="x", rollback="true")
    assert champion() == 2
    assert len(mlflow.search_runs()) == n_runs


def test_a_rollback_replaces_a_champion_that_was_deleted(uris):
    for uri in uris:
        call(model=uri, **ANY)
    mlflow.MlflowClient().delete_model_version("x", "2")
    call(name="x", rollback="true")
    assert champion() == 1


def test_a_champion_that_was_deleted_is_named_and_the_count_goes_on(uris, capsys):
    call(model=uris[0], **ANY)
    by = newest().info.run_id
    mlflow.MlflowClient().delete_model_version("x", "1")
    call(model=uris[1], **ANY)
    lost = f"version 1, which run {by} made champion, is deleted or has lost the alias"
    printed = capsys.readouterr().out
    assert f"note   {lost}: there is no champion to compare with" in printed
    assert "the first" not in printed.splitlines()[-1]
    tags = newest().data.tags
    assert tags["candidates_compared"] == "2"
    assert lost in tags[runs.DESCRIPTION]


def test_a_champion_whose_artifacts_are_gone_is_named_with_the_ways_out(uris):
    call(model=uris[0], **ANY)
    delete_artifacts(uris[0])
    n_runs = len(mlflow.search_runs())
    with pytest.raises(UserError, match="version 1, the champion: .* is gone; .*rollback true"):
        call(model=uris[1], **ANY)
    assert len(mlflow.search_runs()) == n_runs
    assert champion() == 1


def test_a_candidate_whose_run_is_gone_is_refused(uris):
    registry.register(uris[0], "x")
    delete_run(uris[0])
    with pytest.raises(UserError, match="model: run .* is not in sqlite .*; train it again"):
        call(model="models:/x/1", **ANY)


def test_a_model_whose_run_is_gone_is_scored(uris, real_rows, tmp_path, run_script):
    registry.register(uris[0], "x")
    delete_run(uris[0])
    source, target = tmp_path / "adult.test", tmp_path / "scored.csv"
    done = run_script(score.main, "--model", "models:/x/1", "--input", source, "--output", target)
    assert done.returncode == 0, done.stderr
    assert "note   that run is not in this store" in done.stdout


def test_a_model_copied_from_another_store_is_scored_and_not_promoted(
    uris, tmp_path, monkeypatch, empty_store, run_script
):
    """Its files name a run and a logged model that the new store does not have."""
    folder = mlflow.artifacts.download_artifacts(uris[0], dst_path=tmp_path / "copy")
    other = tmp_path / "other.db"
    shutil.copy(empty_store, other)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{other}")
    experiment = mlflow.create_experiment("copied", str(tmp_path / "others"))
    client = mlflow.MlflowClient()
    run = client.create_run(experiment).info.run_id
    client.log_artifacts(run, folder, "model")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "copied")
    address, source = f"runs:/{run}/model", tmp_path / "adult.test"
    done = run_script(
        score.main, "--model", address, "--input", source, "--output", tmp_path / "scored.csv"
    )
    assert done.returncode == 0, done.stderr
    with pytest.raises(UserError, match="model: run .* is not in sqlite .*; train it again"):
        call(model=address, **ANY)


def test_a_version_whose_source_is_a_folder_is_promoted(uris):
    """As a client makes it that names the folder of the artifacts."""
    client = mlflow.MlflowClient()
    client.create_registered_model("x")
    client.create_model_version("x", artifacts.locate_model(uris[0]))
    call(model="models:/x/1", **ANY)
    assert champion() == 1
    assert len(client.search_model_versions("name = 'x'")) == 1


@pytest.mark.parametrize("address", ["models:/x@NEW", "models:/x/9", "models:/X/1"])
def test_an_address_in_another_case_or_of_no_version_is_one_line(uris, address):
    registry.register(uris[0], "x")
    mlflow.MlflowClient().set_registered_model_alias("x", "new", "1")
    with pytest.raises(UserError, match=f"model: expected the address .* got '{address}'"):
        call(model=address, **ANY)


def test_a_logged_model_that_was_deleted_is_named(uris):
    (output,) = mlflow.get_run(run_id(uris[0])).outputs.model_outputs
    mlflow.MlflowClient().delete_logged_model(output.model_id)
    with pytest.raises(UserError, match=f"got '{uris[0]}': Logged model .*{output.model_id}"):
        call(model=uris[0], **ANY)


@pytest.mark.parametrize("own", ["", "Owner: Ada\n\n---\n\nReviewed by Bob"])
def test_a_verdict_replaces_an_earlier_one_and_nothing_that_a_user_wrote(uris, own):
    version = mlflow.register_model(uris[0], "x")
    mlflow.MlflowClient().update_model_version("x", version.version, own)
    for note in ("**refused** against no champion", "**passed** against version 3, the champion"):
        registry.log_verdict(version, {}, note)
        found = mlflow.MlflowClient().get_model_version("x", version.version).description
        assert found == note + registry.RULE + own
