"""Whether the process that wrote a run is gone: what is not certain counts as living."""

import os
import subprocess
import sys
from importlib import util
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from tabular.tracking import process
from tests.helpers import PROJECT

PRINT_IDENTITY = "from tabular.tracking import process; print(process.identity(), flush=True)"


@pytest.fixture
def other():
    """Another process, which prints its identity and waits."""
    running = subprocess.Popen(
        [sys.executable, "-c", f"{PRINT_IDENTITY}; input()"], cwd=PROJECT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    yield running
    running.kill()
    running.communicate()


@pytest.fixture(params=[True, False], ids=["Linux", "elsewhere"])
def platform(request, monkeypatch):
    """Record processes as on Linux, and as on Windows and macOS."""
    monkeypatch.setattr(process.psutil, "LINUX", request.param)


def change_field(recorded, position, value):
    fields = recorded.split(" ")
    fields[position] = value
    return " ".join(fields)


def test_a_process_is_gone_once_it_is_a_zombie(other):
    recorded = other.stdout.readline().strip()
    assert not process.is_gone(recorded)
    other.kill()
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # it has ended and was not waited for
    assert process.is_gone(recorded)
    other.communicate()
    assert process.is_gone(recorded)


def test_this_process_is_not_gone(platform):
    assert process.identity()
    assert not process.is_gone(process.identity())


def test_a_process_whose_pid_does_not_exist_is_gone(platform):
    assert process.is_gone(change_field(process.identity(), -2, "999999999"))


def test_a_process_is_gone_if_another_one_has_its_pid(platform):
    start = int(process.identity().split(" ")[-1])
    assert process.is_gone(change_field(process.identity(), -1, str(start - 1)))


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_process_of_another_host_boot_or_namespace_may_live(position):
    recorded = change_field(process.identity(), -2, "999999999")
    assert process.is_gone(recorded)
    assert not process.is_gone(change_field(recorded, position, "another"))


def test_a_process_of_another_machine_of_the_same_name_may_live(monkeypatch):
    monkeypatch.setattr(process.psutil, "LINUX", False)
    recorded = change_field(process.identity(), -2, "999999999")
    assert process.is_gone(recorded)
    monkeypatch.setattr(process.uuid, "getnode", lambda: 1)
    assert not process.is_gone(recorded)


def test_linux_records_the_start_in_clock_ticks_since_boot():
    """As earlier versions did, and as field 22 of proc_pid_stat(5) has it."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    assert process.identity().split(" ")[-1] == fields[19]


def test_the_wall_clock_does_not_change_the_identity(monkeypatch):
    recorded, boot_time = process.identity(), psutil.boot_time()
    for module in (psutil, psutil._psplatform):
        monkeypatch.setattr(module, "boot_time", lambda: boot_time + 3600)
    assert psutil.boot_time() == boot_time + 3600
    assert process.identity() == recorded


def test_a_process_that_the_system_hides_may_live(monkeypatch):
    """As /proc hides those of other users if it is mounted with hidepid."""

    def hide(pid):
        raise psutil.NoSuchProcess(pid)

    def refuse(pid, number):
        raise PermissionError

    recorded, own = process.identity(), psutil.Process()
    monkeypatch.setattr(process.psutil, "Process", lambda pid=None: hide(pid) if pid else own)
    assert not process.is_gone(recorded)
    monkeypatch.setattr(os, "kill", refuse)
    assert not process.is_gone(recorded)


@pytest.mark.parametrize("recorded", ["", "etl", "a b c"])
def test_a_text_that_is_no_identity_says_nothing(recorded, monkeypatch):
    assert not process.is_gone(recorded)
    monkeypatch.setattr(process, "identity", lambda: "")
    assert not process.is_gone(recorded)


def test_a_system_without_boot_id_tells_nothing(monkeypatch, tmp_path):
    recorded = process.identity()
    monkeypatch.setattr(process, "PROC", tmp_path)
    assert process.identity() == ""
    assert not process.is_gone(recorded)


def test_the_command_that_started_this_process_is_known():
    code = "from tabular.tracking import process; print(process.ancestor_commands())"
    command = [
        sys.executable,
        "-c",
        f"import subprocess, sys; subprocess.run(sys.argv[1:]); {code}",
    ]
    shown = subprocess.run(
        [*command, sys.executable, "-c", code, "--run-name", "my-run-1"],
        cwd=PROJECT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "--run-name my-run-1" in shown.splitlines()[0]


def test_the_peak_memory_is_in_mb():
    resident = psutil.Process().memory_info().rss / 1e6
    assert resident * 0.5 < process.peak_memory_mb() < 100 * resident


def test_windows_has_no_module_resource(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "resource", None)
    spec = util.spec_from_file_location("process_on_windows", process.__file__)
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    memory = SimpleNamespace(memory_info=lambda: SimpleNamespace(peak_wset=3_000_000))
    monkeypatch.setattr(module.psutil, "Process", lambda: memory)
    assert module.peak_memory_mb() == 3


def test_without_proc_nothing_is_known_of_processes(monkeypatch, tmp_path):
    """As in a container in which /proc is not mounted."""
    recorded = process.identity()
    monkeypatch.setattr(process, "PROC", tmp_path)
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path))
    assert process.identity() == ""
    assert not process.is_gone(recorded)
    assert process.ancestor_commands() == []
    assert process.peak_memory_mb() > 0
