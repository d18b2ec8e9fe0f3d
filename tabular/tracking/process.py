"""Which process wrote a run, whether it is certainly gone, and the memory of this process."""

import os
import platform
import sys
import uuid
from pathlib import Path

import psutil

try:
    import resource
except ImportError:  # on Windows
    resource = None  # type: ignore[assignment]

PROC = Path("/proc")


def identity() -> str:
    """Machine, PID namespace (on Linux), PID and start time: no two processes have the same.

    Empty if the system does not tell one of them.
    """
    try:
        machine = machine_id()
        if " " not in machine:  # two machines may have the same host name
            return ""
        if psutil.LINUX:
            machine += f" {(PROC / 'self/ns/pid').readlink()}"
        return f"{machine} {os.getpid()} {_start(psutil.Process())}"
    except (OSError, psutil.Error):
        return ""


def machine_id() -> str:
    """Host name, and the boot id (if known) on Linux or a digest of the MAC address elsewhere."""
    if not psutil.LINUX:
        return f"{platform.node()} {uuid.uuid5(uuid.NAMESPACE_OID, str(uuid.getnode()))}"
    boot_id = PROC / "sys/kernel/random/boot_id"
    return f"{platform.node()} {boot_id.read_text().strip() if boot_id.exists() else ''}".strip()


def is_gone(recorded: str) -> bool:
    """Whether the process whose ``identity`` was recorded is certainly gone; a zombie is.

    It is not certain for another machine, boot or PID namespace, nor without permission to look.
    """
    own = identity()
    if not own or recorded.split(" ")[:-2] != own.split(" ")[:-2]:
        return False
    pid, start = recorded.split(" ")[-2:]
    try:
        process = psutil.Process(int(pid))
        zombie = process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
        return zombie or _start(process) != start
    except psutil.ZombieProcess:
        return True
    except psutil.NoSuchProcess:
        return not _exists(int(pid))
    except (OSError, psutil.Error):
        return False


def _start(process: psutil.Process) -> str:
    """When a process started: clock ticks since boot on Linux, ms since 1970 elsewhere."""
    if psutil.LINUX:  # where the absolute time changes with the wall clock
        ticks = (process.create_time() - psutil.boot_time()) * os.sysconf("SC_CLK_TCK")
        return str(round(ticks))
    return str(round(process.create_time() * 1000))


def _exists(pid: int) -> bool:
    """Whether a process exists, even if ``/proc`` hides it from this user (hidepid, proc(5))."""
    if os.name != "posix":
        return psutil.pid_exists(pid)
    try:
        os.kill(pid, 0)  # signal 0 is not delivered
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def ancestor_commands() -> list[str]:
    """Command lines of the parent process and of its parents, as far as they can be read."""
    try:
        ancestors = psutil.Process().parents()
        return [" ".join(p.as_dict(["cmdline"])["cmdline"] or []) for p in ancestors]
    except (OSError, psutil.Error):  # OSError: a system without /proc
        return []


def peak_memory_mb() -> float:
    """The largest resident memory of this process so far, in MB (10^6 bytes)."""
    if resource is None:
        memory = psutil.Process().memory_info()
        return (memory.peak_wset if hasattr(memory, "peak_wset") else memory.rss) / 1e6
    unit = 1 if sys.platform == "darwin" else 1024  # bytes or KiB, getrusage(2)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
