"""Which process wrote a run, and whether it is certainly gone."""

import os
import platform
from pathlib import Path

import psutil

PROC = Path("/proc")


def identity() -> str:
    """Host, boot, PID namespace, PID and start time of the process: no other has had them all.

    Empty where the system tells no boot and no namespace (macOS, Windows).
    """
    try:
        namespace = (PROC / "self/ns/pid").readlink()
        return f"{machine_id()} {namespace} {os.getpid()} {_start(os.getpid())}"
    except OSError:
        return ""


def machine_id() -> str:
    """Host and boot; the host alone where the system tells no boot."""
    boot = PROC / "sys/kernel/random/boot_id"
    return f"{platform.node()} {boot.read_text().strip() if boot.exists() else ''}".strip()


def is_gone(recorded: str) -> bool:
    """Whether the recorded process was one of this machine's and certainly lives no more."""
    *machine_id, pid, start = recorded.split(" ") if recorded else ("", "", "")
    if not recorded or machine_id != identity().split(" ")[:3]:
        return False
    if not psutil.pid_exists(int(pid)):
        return True
    try:
        return _start(int(pid)) != start
    except OSError:
        return False


def _start(pid: int) -> str:
    """Clock ticks from boot to the start of a process; nothing for one that only waits to be read.

    Source: proc_pid_stat(5), fields 3 and 22.
    """
    fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]
