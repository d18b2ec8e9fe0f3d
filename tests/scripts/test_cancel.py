"""A signal ends a run as KILLED wherever it arrives, and never leaves one RUNNING."""

import subprocess
import sys

import mlflow
import pytest

from tests.helpers import PROJECT, the_run

# The signal arrives as the named function begins; `how` is what the code around makes of it.
SCRIPT = """
import importlib, os, signal, sys
sys.path.insert(0, {project!r})
import train
from tabular import cli

module, name = {place!r}.rsplit(".", 1)
module = importlib.import_module(module)
original = getattr(module, name)

def struck(*args, **kwargs):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(1000):
            pass
    except BaseException:
        if {how!r} == "raised":
            raise
        if {how!r} == "disguised":
            raise ValueError("an error of the code that the signal broke into")
    return original(*args, **kwargs)

setattr(module, name, struck)
sys.argv = ["train.py", "--data", {data!r}, "--n_estimators", "3", "--register", "struck"]
cli.run(train.main)
"""


@pytest.fixture
def struck(run_command, synthetic_folder, tmp_path):
    for name in ("adult.data", "adult.test"):  # without the marker: registrable rows
        lines = (synthetic_folder / name).read_text().splitlines(keepends=True)
        (tmp_path / name).write_text("".join(lines[1:1000]))

    def run(place, how="raised"):
        code = SCRIPT.format(project=str(PROJECT), place=place, how=how, data=str(tmp_path))
        return run_command("python", "-c", code)

    return run


@pytest.mark.parametrize(("place", "how"), [
    ("mlflow.start_run", "raised"),
    ("tabular.model.boosting.bin_rows", "raised"),
    ("tabular.model.boosting.bin_rows", "disguised"),
    ("tabular.evaluation.shap.importance_table", "lost"),
    ("mlflow.pyfunc.log_model", "raised"),
])  # fmt: skip
def test_a_signal_anywhere_in_a_run_ends_it_as_killed(struck, place, how):
    done = struck(place, how)
    assert done.returncode == 128 + 15
    assert done.stderr.rstrip().endswith("ended by: SIGTERM")
    assert "Traceback" not in done.stderr
    run = the_run()
    assert run.info.status == "KILLED"
    assert run.data.tags["ended_by"] == "SIGTERM"
    assert not mlflow.MlflowClient().search_registered_models()


def test_a_signal_before_the_run_makes_none(struck, no_store):
    done = struck("tabular.data.sources.load")
    assert done.returncode == 128 + 15


def test_a_signal_after_the_work_changes_nothing(struck):
    """The run is being written FINISHED, and that is what it is."""
    done = struck("mlflow.end_run")
    assert done.returncode == 0
    assert the_run().info.status == "FINISHED"


HOLD = """
import os, signal
from tabular import cancel

cancel.PATIENCE = {patience}
cancel.install()
try:
    with cancel.held_off():
        with cancel.held_off():
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        print("reached")
except cancel.Cancelled:
    print(cancel.received().name)
"""


@pytest.mark.parametrize(("patience", "printed"), [(3, ["reached", "SIGTERM"]), (0, ["SIGTERM"])])
def test_a_hold_ends_with_the_outer_one_or_when_somebody_asks_again(patience, printed):
    """Two signals at once are one request; one that comes much later means it."""
    command = [sys.executable, "-c", HOLD.format(patience=patience)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert done.stdout.split() == printed
