"""Whether the process that wrote a run is certainly gone; what is not certain is left alone."""

import os
import subprocess
import sys

import pytest

from tabular.tracking import process
from tests.helpers import PROJECT

TELL = "from tabular.tracking import process; print(process.identity(), flush=True); input()"


@pytest.fixture
def other():
    running = subprocess.Popen(
        [sys.executable, "-c", TELL], cwd=PROJECT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    yield running
    running.kill()
    running.communicate()


def test_a_process_is_gone_once_it_ended_even_unread(other):
    recorded = other.stdout.readline().strip()
    assert not process.is_gone(recorded)
    other.kill()
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # dead, and not reaped
    assert process.is_gone(recorded)
    other.communicate()
    assert process.is_gone(recorded)


def test_this_process_lives():
    assert not process.is_gone(process.identity())


def test_a_pid_that_another_process_took_over_is_gone():
    *machine, pid, start = process.identity().split(" ")
    assert process.is_gone(" ".join([*machine, pid, str(int(start) - 1)]))


@pytest.mark.parametrize("field", [0, 1, 2])
def test_another_host_boot_or_namespace_is_never_judged(field):
    fields = process.identity().split(" ")
    fields[3], fields[field] = "999999999", "another"
    assert not process.is_gone(" ".join(fields))


def test_nothing_recorded_and_nothing_known_say_nothing(monkeypatch, tmp_path):
    assert not process.is_gone("")
    recorded = process.identity()
    monkeypatch.setattr(process, "PROC", tmp_path)
    assert process.identity() == ""
    assert not process.is_gone(recorded)
