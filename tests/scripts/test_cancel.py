"""A signal ends a run as KILLED wherever it arrives, and never leaves one RUNNING."""

import importlib
import os
import signal
import sys
import threading
import time
from pathlib import Path

import mlflow
import pytest

import train
from tabular import cancel
from tabular.data import census
from tests.helpers import the_run

STRIKE = Path(__file__).parent / "strike.py"


@pytest.fixture
def registrable_folder(synthetic_folder, tmp_path):
    """Data files without the marker of synthetic rows, so that models can be registered."""
    for name in census.DIGESTS:
        lines = (synthetic_folder / name).read_text().splitlines(keepends=True)
        (tmp_path / name).write_text("".join(lines[1:1000]))
    return tmp_path


@pytest.fixture
def strike(run_command, registrable_folder):
    """A function that runs ``strike.py``, which sends itself a signal at a function's start."""

    def run(place):
        options = ["--data", registrable_folder, "--n_estimators", 3, "--register", "interrupted"]
        return run_command("python", STRIKE, place, *options)

    return run


@pytest.fixture
def installed(monkeypatch):
    """Install the signal handlers of the scripts for the duration of a test."""
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


def require_killed(done):
    assert done.returncode == 128 + 15
    assert done.stderr.rstrip().endswith("ended by: SIGTERM")
    assert "Traceback" not in done.stderr
    run = the_run()
    assert run.info.status == "KILLED"
    assert run.data.tags["ended_by"] == "SIGTERM"
    assert not mlflow.MlflowClient().search_registered_models()


@pytest.mark.parametrize(("place", "raises"), [
    ("mlflow.start_run", False),
    ("tabular.model.boosting.bin_rows", False),
    ("tabular.model.boosting.bin_rows", True),
    ("tabular.evaluation.shap.importance_table", False),
    ("mlflow.pyfunc.save_model", False),
    ("mlflow.pyfunc.save_model", True),
])  # fmt: skip
def test_a_signal_during_a_run_ends_it_as_killed(
    installed, run_script, registrable_folder, monkeypatch, place, raises
):
    """Even if the function in which the signal arrives raises an error of its own."""
    monkeypatch.setattr(cancel, "GRACE_SECONDS", 3.0)
    module, _, name = place.rpartition(".")
    original = getattr(importlib.import_module(module), name)

    def interrupted(*args, **kwargs):
        send()
        if raises:
            raise ValueError("an error of the code that the signal arrived in")
        return original(*args, **kwargs)

    monkeypatch.setattr(place, interrupted)
    options = ["--data", registrable_folder, "--n_estimators", 3, "--register", "interrupted"]
    require_killed(run_script(train.main, *options))


def test_a_signal_to_a_process_ends_its_run_as_killed(strike):
    require_killed(strike("tabular.model.boosting.bin_rows"))


def test_a_signal_before_the_run_starts_none(strike, no_store):
    done = strike("tabular.data.sources.load")
    assert done.returncode == 128 + 15


def test_a_signal_after_the_work_leaves_the_run_finished(strike):
    """The run is being ended as FINISHED, and that is true."""
    done = strike("mlflow.end_run")
    assert done.returncode == 0
    assert the_run().info.status == "FINISHED"


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


def test_the_timer_spares_an_import_and_raises_after_it(installed, tmp_path, monkeypatch):
    """A module that was half imported would be missing when the run's end is recorded."""
    (tmp_path / "slow_to_import.py").write_text(
        "import os, time\nos.kill(os.getpid(), 15)\ntime.sleep(0.4)\nDONE = True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(cancel.Cancelled):
        importlib.import_module("slow_to_import")
        time.sleep(5)
    assert sys.modules.pop("slow_to_import").DONE


def test_a_check_in_another_thread_leaves_the_timer_to_the_main_thread(installed):
    def work():
        with pytest.raises(cancel.Cancelled):
            cancel.check()

    with pytest.raises(cancel.Cancelled):
        send()
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        time.sleep(5)


def test_no_timer_fires_after_a_check_has_raised(installed):
    send()
    with pytest.raises(cancel.Cancelled):
        cancel.check()
    time.sleep(0.4)  # what ends the run has its time


def test_signals_are_ignored_once_the_work_is_over(installed):
    cancel.ignore_signals()
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


@pytest.fixture
def without_timer(monkeypatch):
    """Hide the timer of the system, as on Windows, which has none."""
    monkeypatch.delattr(signal, "setitimer")
    monkeypatch.setattr(cancel, "REPEAT_SECONDS", 0.05)
    monkeypatch.setattr(cancel, "_timer_due", None)


def work(seconds):
    """Compute in Python without a check."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)


def test_without_a_timer_a_thread_ends_the_grace_period(without_timer, installed):
    start = time.monotonic()
    with pytest.raises(cancel.Cancelled):
        send()
        work(5)
    assert 0.2 <= time.monotonic() - start < 2


def test_the_thread_in_place_of_a_timer_spares_an_uninterrupted_body(without_timer, installed):
    done = False
    with pytest.raises(cancel.Cancelled):
        with cancel.uninterrupted():
            send()
            work(0.5)
            done = True
        work(5)
    assert done


def test_the_thread_in_place_of_a_timer_can_be_stopped(without_timer, installed):
    send()
    cancel.stop_timer()
    work(0.5)
    assert cancel.received() is signal.SIGTERM
