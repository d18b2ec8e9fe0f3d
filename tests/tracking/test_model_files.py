"""The digests of a model's files, recorded apart from the files."""

import subprocess
import sys

import mlflow
import pytest

from tabular.tracking import artifacts, model_files


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "model"
    (folder / "artifacts").mkdir(parents=True)
    (folder / "artifacts" / "Größe 1.ubj").write_bytes(b"\x00\xff")
    (folder / "MLmodel").write_text("model\n")
    return folder


@pytest.mark.skipif(sys.platform != "linux", reason="sha256sum is of GNU")
def test_the_record_is_what_sha256sum_checks(folder, tmp_path):
    (tmp_path / "digests").write_text(model_files.list_digests(folder))
    subprocess.run(["sha256sum", "-c", "--strict", tmp_path / "digests"], cwd=folder, check=True)


def test_files_are_listed_by_their_path_with_slashes(folder):
    lines = model_files.list_digests(folder).splitlines()
    assert [line[66:] for line in lines] == ["MLmodel", "artifacts/Größe 1.ubj"]


def test_files_that_differ_or_are_missing_are_named_and_those_added_are_not(folder):
    digests = model_files.list_digests(folder)
    assert model_files.find_changed(digests, folder) == []
    (folder / "MLmodel").write_text("Model\n")
    (folder / "artifacts" / "Größe 1.ubj").unlink()
    (folder / "served.pyc").write_text("")
    assert model_files.find_changed(digests, folder) == [
        "MLmodel differs", "artifacts/Größe 1.ubj is missing",
    ]  # fmt: skip


def test_a_file_that_is_added_to_a_model_is_recorded_with_the_others():
    model = mlflow.MlflowClient().create_logged_model("0", "model")
    model_files.record(model.model_id, "0  MLmodel\n")
    model_files.add(model.model_id, "card.md", "größer\n")
    model = mlflow.get_logged_model(model.model_id)
    assert model.tags[model_files.FILES].splitlines()[0] == "0  MLmodel"
    with artifacts.open_folder(model.artifact_location) as folder:
        assert (folder / "card.md").read_bytes() == "größer\n".encode()
        assert model.tags[model_files.FILES].endswith(f"\n{model_files.list_digests(folder)}")


def test_files_of_another_machine_are_downloaded_and_the_copy_is_deleted(folder, monkeypatch):
    monkeypatch.setattr(artifacts, "local_folder", lambda location: None)
    with artifacts.open_folder(str(folder)) as copy:
        assert copy != folder
        assert model_files.find_changed(model_files.list_digests(folder), copy) == []
    assert not copy.exists()
