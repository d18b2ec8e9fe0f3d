"""The kinds of fault: each prepares itself, runs a script that meets it, and undoes itself."""

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tabular.data import census
from tests.faults import disk
from tests.faults.sandbox import SCRIPTS, Sandbox

FOR_GOOD = 3600.0  # seconds of a stop that outlasts the script
DOWNLOADERS = ("train", "sweep", "promote")  # the scripts that download data


@dataclass
class Outcome:
    """How the processes that met a fault ended.

    Attributes:
        exit_codes: their exit statuses.
        hit: whether they met the fault at all.
        signals: signals by which they may have ended.
        may_stay_running: whether runs may read RUNNING, because nothing could end them.
        min_successes: how many of the processes must have succeeded.
    """

    exit_codes: list[int]
    hit: bool = True
    signals: tuple[int, ...] = ()
    may_stay_running: bool = False
    min_successes: int = 0


Inject = Callable[[Sandbox, str, random.Random, float], Outcome]


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes:
        inject: takes the sandbox, the script, a random number generator and a factor from 1 down
            to 0: the smaller it is, the earlier or harder the fault.
        store: sqlite, server or either.
        scripts: those that can meet the fault.
    """

    name: str
    inject: Inject
    store: str = "sqlite"
    scripts: tuple[str, ...] = SCRIPTS


def by_signal(
    number: int, sandbox: Sandbox, script: str, rng: random.Random, factor: float
) -> Outcome:
    """Send a signal at a random moment of the work, or in some cases of the imports."""
    cold = rng.random() < 0.2
    seconds = sandbox.reference.seconds[script, sandbox.kind] + cold * sandbox.reference.imports
    moment = rng.random() * seconds * factor
    process = sandbox.start(sandbox.job(script), cold)
    process.join(moment)
    hit = process.exitcode is None
    if hit:
        os.kill(process.pid, number)
    killed = number == signal.SIGKILL
    return Outcome([sandbox.wait(process)], hit, (number,), may_stay_running=killed)


def small_disk(folder: Path, spare: int, sandbox: Sandbox) -> Callable[[], None]:
    """Move a folder to a disk with few bytes left; returns a function that enlarges the disk."""
    size = disk.used(folder) + max(disk.PAGE, spare)
    aside = folder.with_name(f"{folder.name}.aside")
    shutil.copytree(folder, aside)
    disk.mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder)
    sandbox.stack.callback(subprocess.run, ["umount", "-l", str(folder)])
    shutil.copytree(aside, folder, dirs_exist_ok=True)
    shutil.rmtree(aside)
    # this process has the old file open; by another path it opens the one on the new disk
    sandbox.direct_uri = sandbox.direct_uri.replace("/store/", "/./store/")
    return lambda: disk.mount("-o", "remount,size=1g", folder)


def full(name: str, sandbox: Sandbox, script: str, rng: random.Random, factor: float) -> Outcome:
    """Let a disk become full at a random point of what the script writes to it."""
    folder = {
        "store": "store",
        "artifacts": "out" if script == "score" else "store/artifacts",
        "temporary": "tmp",
        "cache": "home/cache/census-mlflow",
    }[name]
    job, share = sandbox.job(script), rng.random() * factor
    if name == "cache":
        sandbox.empty_cache()
    if disk.may_mount():
        needed = sandbox.reference.written.get((script, folder), 60_000)
        enlarge = small_disk(sandbox.folder / folder, int(share * needed), sandbox)
    else:  # a limit of the size of each file instead
        low, high = {"score": (10**6, len(sandbox.reference.scored))}.get(script, (0, 60_000))
        job, enlarge = replace(job, max_file_bytes=int(low + share * (high - low))), lambda: None
    code = sandbox.run(job)
    enlarge()
    nothing_written = name == "store" or job.max_file_bytes is not None
    return Outcome([code], hit=code != 0, may_stay_running=nothing_written)


def read_only(sandbox: Sandbox, script: str, rng: random.Random, factor: float) -> Outcome:
    """Make the store read-only, or from a random moment on its folder of artifacts."""
    entire = script == "score" or rng.random() < 0.5  # score stores no artifacts
    folder = sandbox.folder / "store" if entire else sandbox.folder / "store" / "artifacts"
    moment = (
        0 if entire else rng.random() * sandbox.reference.seconds[script, sandbox.kind] * factor
    )
    if mounts := disk.may_mount():
        disk.mount("--bind", folder, folder)
        sandbox.stack.callback(subprocess.run, ["umount", "-l", str(folder)])
    process = None
    if not entire:
        process = sandbox.start(sandbox.job(script))
        process.join(moment)
    _set_writable(folder, False, mounts)
    code = sandbox.wait(process or sandbox.start(sandbox.job(script)))
    _set_writable(folder, True, mounts)
    return Outcome([code], hit=code != 0)


def _set_writable(folder: Path, writable: bool, mounts: bool) -> None:
    if not mounts:
        for path in [folder, *folder.rglob("*")]:
            path.chmod((0o700 if path.is_dir() else 0o600) if writable else 0o500)
        return
    for _ in range(100):  # fails while a file is being written
        try:
            disk.mount("-o", f"remount,{'rw' if writable else 'ro'},bind", folder)
            return
        except subprocess.CalledProcessError:
            time.sleep(0.02)
    raise RuntimeError(f"{folder} stays in use")


def stopped(sandbox: Sandbox, script: str, rng: random.Random, factor: float) -> Outcome:
    """Stop the tracking server at a random request, for good or for some seconds."""
    number = 2 + int(rng.random() * (sandbox.reference.requests[script] - 1) * factor)
    sandbox.proxy.away = rng.choice([FOR_GOOD, rng.uniform(0.5, 4)])
    sandbox.proxy.behaviour = lambda n: "stop" if n == number else "pass"
    code = sandbox.run(sandbox.job(script))
    hit = sandbox.proxy.hit > 0
    sandbox.proxy.heal()
    return Outcome([code], hit, may_stay_running=True)


def slow(sandbox: Sandbox, script: str, rng: random.Random, factor: float) -> Outcome:
    """Delay three responses in a row by two seconds each."""
    first = 1 + int(rng.random() * sandbox.reference.requests[script] * factor)
    sandbox.proxy.behaviour = lambda n: "slow" if first <= n < first + 3 else "pass"
    code = sandbox.run(sandbox.job(script))
    hit = sandbox.proxy.hit > 0
    sandbox.proxy.heal()
    return Outcome([code], hit, min_successes=1)


def unreliable(
    behaviours: tuple[str, ...], sandbox: Sandbox, script: str, rng: random.Random, factor: float
) -> Outcome:
    """Let one request in twenty, in seven or in three go wrong."""
    share = max(rng.choice([0.05, 0.15, 0.35]), 0.35 * (factor < 1))
    moments = random.Random(rng.random())
    sandbox.proxy.behaviour = lambda n: (
        moments.choice(behaviours) if moments.random() < share else "pass"
    )
    code = sandbox.run(sandbox.job(script))
    hit = sandbox.proxy.hit > 0
    sandbox.proxy.heal()
    return Outcome([code], hit, may_stay_running=True)


def bad_download(
    how: str, sandbox: Sandbox, script: str, rng: random.Random, factor: float
) -> Outcome:
    """Damage one of the downloaded files, at the first address only or at every address."""
    damaged, share = rng.choice([census.TRAIN, census.TEST]), rng.random()
    bad = f"{sandbox.reference.mirror}/{damaged}/{how}/{share}/"
    good = f"{sandbox.reference.mirror}/none/none/0/"
    second = rng.random() < 0.3
    job = replace(sandbox.job(script), addresses=(bad, good) if second else (bad,))
    auto = script in ("train", "sweep") and not second and rng.random() < 0.4
    if auto:  # then the script falls back on synthetic rows
        arguments = ["auto" if word == "uci" else word for word in job.arguments]
        at = arguments.index("--register")
        job = replace(job, arguments=arguments[:at] + arguments[at + 2 :])
    sandbox.empty_cache()
    code = sandbox.run(job)
    return Outcome([code], hit=True, min_successes=int(second or auto))


def two_at_once(sandbox: Sandbox, script: str, rng: random.Random, factor: float) -> Outcome:
    """Run two processes on the same cache, store and output, and in some cases kill one."""
    if script != "score":
        sandbox.empty_cache()
    seconds = sandbox.reference.seconds[script, sandbox.kind]
    processes = [sandbox.start(sandbox.job(script))]
    time.sleep(rng.random() * seconds * 0.3)
    processes.append(sandbox.start(sandbox.job(script)))
    killed = rng.random() < 0.3
    if killed:
        processes[0].join(rng.random() * seconds)
        processes[0].kill()
    exit_codes = [sandbox.wait(process) for process in processes]
    signals = (signal.SIGKILL,) if killed else ()
    # one of two promotions may find that the other has succeeded
    min_successes = 2 - killed - (script == "promote")
    return Outcome(exit_codes, True, signals, killed, min_successes)


def kinds() -> list[Kind]:
    """The kinds that this machine can inject."""
    found = [
        *(
            Kind(number.name, partial(by_signal, number), "either")
            for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
        ),
        Kind("disk full: artifacts, output", partial(full, "artifacts")),
        Kind("disk full: store", partial(full, "store")),
        Kind("disk full: temporary files", partial(full, "temporary"), scripts=DOWNLOADERS),
        Kind("disk full: download", partial(full, "cache"), scripts=DOWNLOADERS),
        Kind("server stopped", stopped, "server"),
        Kind("server slow", slow, "server"),
        Kind("server answers 500", partial(unreliable, ("500",)), "server"),
        Kind(
            "server cuts connections",
            partial(unreliable, ("cut", "unanswered", "half")),
            "server",
        ),
        Kind("download cut off", partial(bad_download, "cut"), scripts=DOWNLOADERS),
        Kind("download corrupted", partial(bad_download, "corrupt"), scripts=DOWNLOADERS),
        Kind("download is a page", partial(bad_download, "page"), scripts=DOWNLOADERS),
        Kind("two at once", two_at_once, "either"),
    ]
    if os.geteuid() != 0 or disk.may_mount():  # no permission stops root
        found.append(Kind("store read-only", read_only))
    return found
