"""No artifact of a run is a pickle, because loading a pickle can run any code."""

import bz2
import contextlib
import gzip
import io
import lzma
import pickle
import pickletools
import zipfile
import zlib
from pathlib import Path

import cloudpickle
import joblib
import mlflow
import numpy as np
import pytest

import sweep
import train
from tests.helpers import PROJECT, SMALL

DECOMPRESS = gzip.decompress, zlib.decompress, bz2.decompress, lzma.decompress
NOT_COMPRESSED = (gzip.BadGzipFile, zlib.error, OSError, EOFError, lzma.LZMAError, ValueError)


def layers(content):
    """The content of a file, and what is compressed or archived in it, at any depth."""
    if not content:
        return
    yield content
    for decompress in DECOMPRESS:
        with contextlib.suppress(*NOT_COMPRESSED):
            yield from layers(decompress(content))
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in archive.namelist():
                yield from layers(archive.read(name))


def has_pickle(content):
    return any(map(is_pickle, layers(content)))


def is_pickle(content):
    """Whether the content is a sequence of valid opcodes, or starts as a pickle does."""
    if content[:1] == pickle.PROTO and content[1:2] <= bytes([pickle.HIGHEST_PROTOCOL]):
        return True
    if content.startswith(b"\x93NUMPY"):
        return b"'|O'" in content[:200]
    try:
        pickletools.dis(content, io.StringIO())
    except (ValueError, IndexError, OverflowError):
        return False
    return True


def dumped(dump, *args, **options):
    file = io.BytesIO()
    dump(*args, file, **options)
    return file.getvalue()


PICKLES = {
    **{f"protocol {n}": pickle.dumps({"a": [1.5, "b"]}, n) for n in range(6)},
    "cloudpickle": cloudpickle.dumps(lambda: 1),
    "joblib": dumped(joblib.dump, {"a": np.arange(9)}),
    "joblib, compressed": dumped(joblib.dump, {"a": np.arange(9)}, compress=3),
    "numpy objects": dumped(lambda file: np.savez_compressed(file, a=np.array([{}], object))),
}


@pytest.mark.parametrize("kind", PICKLES)
def test_a_pickle_is_recognised(kind):
    assert has_pickle(PICKLES[kind])


def test_other_files_are_not_taken_for_a_pickle():
    with (PROJECT / "data" / "synthetic.npz").open("rb") as file:
        assert not has_pickle(file.read())
    for text in ("bin,rows\n0.05,3\n", '{"columns": ["a"]}', "mlflow==3.17.2\n", ""):
        assert not has_pickle(text.encode())


@pytest.mark.parametrize("command", [
    [train.main, "--n_estimators", 5, "--early_stopping_rounds", 2],
    [sweep.main, *SMALL],
    [sweep.main, "--sampler", "tpe", "--trials", 3, "--max_depth", "2..4", "--n_estimators", "5,9"],
], ids=["train", "grid", "tpe"])  # fmt: skip
def test_no_artifact_of_a_run_is_a_pickle(
    run_script, synthetic_folder, tmp_path, monkeypatch, command
):
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    done = run_script(*command, "--data", synthetic_folder)
    assert done.returncode == 0, done.stderr
    files = [path for path in Path(tmp_path, "mlruns").rglob("*") if path.is_file()]
    assert {"booster.ubj", "served.py", "MLmodel", "importance.png", "groups.csv"} <= {
        path.name for path in files
    }
    assert [path for path in files if has_pickle(path.read_bytes())] == []
    (run_id,) = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("run ")}
    model = mlflow.pyfunc.load_model(f"runs:/{run_id}/model")
    assert len(model.predict(model.input_example)) == 5
