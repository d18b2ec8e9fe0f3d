"""What is logged as the model."""

import json
import sys

import mlflow
import pytest
import xgboost
from mlflow.utils import environment
from packaging.requirements import Requirement

from tabular.data import sources
from tabular.data.census import CENSUS
from tabular.model import boosting
from tabular.model.hyperparameters import DEFAULTS
from tabular.tracking import artifacts, logged_model, model_files, registry, runs, sbom


@pytest.mark.parametrize(("cuda", "platform", "expected"), [
    (False, "linux", "xgboost-cpu"), (False, "darwin", "xgboost"), (True, "linux", "xgboost"),
])  # fmt: skip
def test_a_model_requires_the_build_of_xgboost_that_it_was_trained_with(
    monkeypatch, cuda, platform, expected
):
    monkeypatch.setattr(logged_model, "has_cuda", lambda: cuda)
    lines = [Requirement(line) for line in logged_model.requirements()]
    needed = [
        line
        for line in lines
        if not line.marker or line.marker.evaluate({"sys_platform": platform})
    ]
    assert [line.name for line in needed] == ["mlflow", "numpy", "pandas", expected]
    assert str(needed[-1].specifier) == f"=={xgboost.__version__}"


def test_nothing_is_printed_where_pip_is_not_installed(
    synthetic_folder, tmp_path, monkeypatch, capsys
):
    """As in an environment that `uv venv` has made."""
    monkeypatch.setattr(environment, "_get_package_version", lambda name: None)
    dataset = sources.load(str(synthetic_folder))
    matrix = boosting.bin_rows(dataset.train.X, dataset.train.y)
    booster, _ = boosting.fit(DEFAULTS | {"n_estimators": 2}, matrix)
    examples = logged_model.to_client_frame(dataset.test.X.head(3))
    with runs.start_run("a run"):
        uri = logged_model.log_model(booster, examples, {}, CENSUS).model_uri
    mlflow.pyfunc.load_model(uri)
    assert "WARNING" not in capsys.readouterr().err


def test_a_client_frame_has_doubles_text_and_none(rows):
    frame = logged_model.to_client_frame(rows.test.X)
    assert frame.shape == rows.test.X.shape
    for name in CENSUS.features:
        kinds = {type(value) for value in frame[name] if value is not None}
        assert kinds == ({float} if name in CENSUS.numeric else {str})
    assert (frame.isna().to_numpy() == rows.test.X.isna().to_numpy()).all()


@pytest.mark.parametrize("before", [True, False])
def test_bytecode_is_written_as_before_after_an_import_without_it(monkeypatch, before):
    monkeypatch.setattr(sys, "dont_write_bytecode", before)
    with pytest.raises(ImportError), logged_model.no_bytecode():
        assert sys.dont_write_bytecode
        raise ImportError
    assert sys.dont_write_bytecode is before


def test_every_file_of_a_model_is_recorded_and_no_bytecode_is_written_beside_it(
    synthetic_folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    dataset = sources.load(str(synthetic_folder))
    matrix = boosting.bin_rows(dataset.train.X, dataset.train.y)
    booster, _ = boosting.fit(DEFAULTS | {"n_estimators": 2}, matrix)
    with runs.start_run("a run") as run:
        runs.log_setup(run, {}, dataset, "cpu")
        examples = logged_model.to_client_frame(dataset.test.X.head(3))
        uri = logged_model.log_model(booster, examples, {}, CENSUS).model_uri
    probability = registry.predict(registry.find_model(uri), dataset.test)
    assert probability.shape == dataset.test.y.shape
    assert not [*tmp_path.rglob("__pycache__")]
    assert not sys.dont_write_bytecode
    model = mlflow.MlflowClient().search_logged_models(["0"])[0]
    with artifacts.open_folder(model.artifact_location) as folder:
        recorded = model.tags[model_files.FILES]
        assert model_files.find_changed(recorded, folder) == []
        assert {"MLmodel", "served.py", "artifacts/booster.ubj", sbom.NAME} <= {*recorded.split()}
        bill = json.loads((folder / sbom.NAME).read_text())
    (digest,) = bill["metadata"]["component"]["hashes"]
    assert digest["content"] == logged_model.model_digest(booster)


def test_a_model_with_the_signature_of_earlier_versions_is_read_and_compared_as_a_new_one(
    synthetic_folder,
):
    """Earlier versions declared inputs, which MLflow enforces; no client breaks."""
    dataset = sources.load(str(synthetic_folder))
    matrix = boosting.bin_rows(dataset.train.X, dataset.train.y)
    booster, _ = boosting.fit(DEFAULTS | {"n_estimators": 2}, matrix)
    boosting.set_labels(booster, CENSUS)
    examples = logged_model.to_client_frame(dataset.test.X.head(3))
    models = []
    for signature in (None, logged_model.signature(CENSUS)):
        with runs.start_run("a run") as run:
            runs.log_setup(run, {}, dataset, "cpu")
            uri = logged_model.log_model(booster, examples, {}, CENSUS).model_uri
            if signature:
                mlflow.models.set_signature(uri, signature)
        models.append(registry.find_model(uri))
    new, old = models
    assert mlflow.models.get_model_info(new.uri).signature.inputs is None
    assert new.signature == old.signature == logged_model.signature(CENSUS)
    assert registry.incompatibilities(new.signature, old.signature) == []
    assert registry.incompatibilities(old.signature, new.signature) == []
    first, second = (registry.predict(model, dataset.test) for model in models)
    assert first.tolist() == second.tolist()
