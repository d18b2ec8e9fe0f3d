"""A signal ends a run as KILLED wherever it arrives, and never leaves one RUNNING."""

import os
import signal
import time
from pathlib import Path

import mlflow
import pytest

from tabular import cancel
from tests.helpers import the_run

STRIKE = Path(__file__).parent / "strike.py"


@pytest.fixture
def strike(run_command, synthetic_folder, tmp_path):
    """Run ``strike.py`` on rows without the marker of synthetic ones, which can be registered."""
    for name in ("adult.data", "adult.test"):
        lines = (synthetic_folder / name).read_text().splitlines(keepends=True)
        (tmp_path / name).write_text("".join(lines[1:1000]))

    def run(place, how="kept"):
        options = ["--data", tmp_path, "--n_estimators", "3", "--register", "struck"]
        return run_command("python", STRIKE, place, how, *options)

    return run


@pytest.mark.parametrize(("place", "how"), [
    ("mlflow.start_run", "kept"),
    ("tabular.model.boosting.bin_rows", "kept"),
    ("tabular.model.boosting.bin_rows", "disguised"),
    ("tabular.evaluation.shap.importance_table", "kept"),
    ("mlflow.pyfunc.log_model", "kept"),
])  # fmt: skip
def test_a_signal_during_a_run_ends_it_as_killed(strike, place, how):
    done = strike(place, how)
    assert done.returncode == 128 + 15
    assert done.stderr.rstrip().endswith("ended by: SIGTERM")
    assert "Traceback" not in done.stderr
    run = the_run()
    assert run.info.status == "KILLED"
    assert run.data.tags["ended_by"] == "SIGTERM"
    assert not mlflow.MlflowClient().search_registered_models()


def test_a_signal_before_the_run_starts_none(strike, no_store):
    done = strike("tabular.data.sources.load")
    assert done.returncode == 128 + 15


def test_a_signal_after_the_work_leaves_the_run_finished(strike):
    """The run is being ended as FINISHED, and that is true."""
    done = strike("mlflow.end_run")
    assert done.returncode == 0
    assert the_run().info.status == "FINISHED"


@pytest.fixture
def installed(monkeypatch):
    """Signal handlers as the scripts have them, for the time of a test."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
    handlers = {number: signal.getsignal(number) for number in numbers}
    monkeypatch.setattr(cancel, "_received", None)
    monkeypatch.setattr(cancel, "_ignore_until", 0.0)
    monkeypatch.setattr(cancel, "GRACE_SECONDS", 0.2)
    cancel.install()
    yield
    cancel.stop_timer()
    for number, handler in handlers.items():
        signal.signal(number, handler)


def send(number=signal.SIGTERM):
    os.kill(os.getpid(), number)


def test_the_first_signal_raises_at_the_next_check(installed):
    send()
    assert cancel.received() is signal.SIGTERM
    with pytest.raises(cancel.Cancelled):
        cancel.check()


def test_a_wait_without_a_check_is_broken_after_the_grace_period(installed):
    start = time.monotonic()
    with pytest.raises(cancel.Cancelled):
        send()
        time.sleep(5)
    assert time.monotonic() - start < 2


def test_the_timer_spares_an_uninterrupted_body_and_raises_after_it(installed):
    done = False
    with pytest.raises(cancel.Cancelled):
        with cancel.uninterrupted():
            with cancel.uninterrupted():
                send()
            time.sleep(0.4)
            done = True
        time.sleep(5)
    assert done


def test_no_timer_fires_after_a_check_has_raised(installed):
    send()
    with pytest.raises(cancel.Cancelled):
        cancel.check()
    time.sleep(0.4)  # what ends the run has its time


def test_signals_are_ignored_once_the_work_is_over(installed):
    cancel.uninstall()
    send()
    send(signal.SIGINT)
    assert cancel.received() is None


def test_two_signals_at_once_are_one_request(installed):
    """`mlflow run` passes one Ctrl-C on as two signals."""
    send()
    send(signal.SIGINT)
    assert cancel.received() is signal.SIGTERM


def test_a_later_signal_raises_at_once(installed, monkeypatch):
    monkeypatch.setattr(cancel, "DUPLICATE_SECONDS", 0.0)
    send()
    with pytest.raises(cancel.Cancelled), cancel.uninterrupted():
        send(signal.SIGINT)
