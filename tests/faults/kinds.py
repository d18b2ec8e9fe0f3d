"""The faults: each arranges itself, lets a script meet it, and is gone when it returns."""

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
from tests.faults.scene import SCRIPTS, Scene

FOR_GOOD = 3600.0  # seconds that a server stays away
DOWNLOADERS = ("train", "sweep", "promote")  # score needs no rows of ours


@dataclass
class Ended:
    """How the processes that met a fault ended.

    Attributes:
        codes: exit statuses.
        struck: whether they met it at all.
        signals: that they may have ended by.
        may_run: a run may read RUNNING: nobody could end it.
        succeeds: of these processes at least so many must have succeeded.
        uci: the rows are the ones that the script was to work on.
    """

    codes: list[int]
    struck: bool = True
    signals: tuple[int, ...] = ()
    may_run: bool = False
    succeeds: int = 0
    uci: bool = True


Strike = Callable[[Scene, str, random.Random, float], Ended]


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes:
        strike: gets the scene, the script, random numbers and a factor from 1 down to 0: the
            smaller, the earlier or the harder it strikes.
        store: sqlite, server or either.
    """

    name: str
    strike: Strike
    store: str = "sqlite"
    scripts: tuple[str, ...] = SCRIPTS


def by_signal(number: int, place: Scene, script: str, draw: random.Random, factor: float) -> Ended:
    """A signal at a random moment of the work; in some cases of the imports too."""
    cold = draw.random() < 0.2
    seconds = place.world.seconds[script, place.kind] + cold * place.world.imports
    moment = draw.random() * seconds * factor
    process = place.started(place.job(script), cold)
    process.join(moment)
    struck = process.exitcode is None
    if struck:
        os.kill(process.pid, number)
    killed = number == signal.SIGKILL
    return Ended([place.ended(process)], struck, (number,), may_run=killed)


def small_disk(folder: Path, spare: int, place: Scene) -> Callable[[], None]:
    """Put a folder on a disk of its own with few bytes left; returns what gives it more."""
    size = disk.used(folder) + max(disk.PAGE, spare)
    aside = folder.with_name(f"{folder.name}.aside")
    shutil.copytree(folder, aside)
    disk.mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder)
    place.stack.callback(subprocess.run, ["umount", "-l", str(folder)])
    shutil.copytree(aside, folder, dirs_exist_ok=True)
    shutil.rmtree(aside)
    # this process has the file open that lies below; by another name it opens the new one
    place.direct = place.direct.replace("/store/", "/./store/")
    return lambda: disk.mount("-o", "remount,size=1g", folder)


def full(name: str, place: Scene, script: str, draw: random.Random, factor: float) -> Ended:
    """A disk that is full somewhere in the middle of what the script writes to it."""
    folder = {
        "store": "store",
        "artifacts": "out" if script == "score" else "store/artifacts",
        "temporary": "tmp",
        "cache": "home/cache/census-mlflow",
    }[name]
    job, share = place.job(script), draw.random() * factor
    if name == "cache":
        place.empty_cache()
    if disk.may_mount():
        needed = place.world.written.get((script, folder), 60_000)
        enlarge = small_disk(place.folder / folder, int(share * needed), place)
    else:  # one number for all folders
        low, high = {"score": (10**6, len(place.world.scored))}.get(script, (0, 60_000))
        job, enlarge = replace(job, most_bytes=int(low + share * (high - low))), lambda: None
    code = place.run(job)
    enlarge()
    nothing_written = name == "store" or job.most_bytes is not None
    return Ended([code], struck=code != 0, may_run=nothing_written)


def read_only(place: Scene, script: str, draw: random.Random, factor: float) -> Ended:
    """A store that nobody may write to, or one that takes no files from some moment on."""
    whole = script == "score" or draw.random() < 0.5  # score leaves no files there
    folder = place.folder / "store" if whole else place.folder / "store" / "artifacts"
    moment = 0 if whole else draw.random() * place.world.seconds[script, place.kind] * factor
    if mounts := disk.may_mount():
        disk.mount("--bind", folder, folder)
        place.stack.callback(subprocess.run, ["umount", "-l", str(folder)])
    process = None
    if not whole:
        process = place.started(place.job(script))
        process.join(moment)
    _set_writable(folder, False, mounts)
    code = place.ended(process or place.started(place.job(script)))
    _set_writable(folder, True, mounts)
    return Ended([code], struck=code != 0)


def _set_writable(folder: Path, writable: bool, mounts: bool) -> None:
    if not mounts:
        for path in [folder, *folder.rglob("*")]:
            path.chmod((0o700 if path.is_dir() else 0o600) if writable else 0o500)
        return
    for _ in range(100):  # a file that is being written keeps it from being done
        try:
            disk.mount("-o", f"remount,{'rw' if writable else 'ro'},bind", folder)
            return
        except subprocess.CalledProcessError:
            time.sleep(0.02)
    raise RuntimeError(f"{folder} stays in use")


def stopped(place: Scene, script: str, draw: random.Random, factor: float) -> Ended:
    """The tracking server goes away at a random request: for good, or for a moment."""
    number = 2 + int(draw.random() * (place.world.requests[script] - 1) * factor)
    place.proxy.away = draw.choice([FOR_GOOD, draw.uniform(0.5, 4)])
    place.proxy.mood = lambda n: "stop" if n == number else "pass"
    code = place.run(place.job(script))
    struck = place.proxy.struck > 0
    place.proxy.heal()
    return Ended([code], struck, may_run=True)


def slow(place: Scene, script: str, draw: random.Random, factor: float) -> Ended:
    """Three answers in a row take two seconds each."""
    first = 1 + int(draw.random() * place.world.requests[script] * factor)
    place.proxy.mood = lambda n: "slow" if first <= n < first + 3 else "pass"
    code = place.run(place.job(script))
    struck = place.proxy.struck > 0
    place.proxy.heal()
    return Ended([code], struck, succeeds=1)


def unreliable(
    moods: tuple[str, ...], place: Scene, script: str, draw: random.Random, factor: float
) -> Ended:
    """One request in twenty, or in three, goes wrong."""
    share = max(draw.choice([0.05, 0.15, 0.35]), 0.35 * (factor < 1))
    moments = random.Random(draw.random())
    place.proxy.mood = lambda n: moments.choice(moods) if moments.random() < share else "pass"
    code = place.run(place.job(script))
    struck = place.proxy.struck > 0
    place.proxy.heal()
    return Ended([code], struck, may_run=True)


def bad_download(how: str, place: Scene, script: str, draw: random.Random, factor: float) -> Ended:
    """One of the files comes spoilt, from the first address alone or from all of them."""
    spoilt, share = draw.choice([census.TRAIN, census.TEST]), draw.random()
    bad = f"{place.world.mirror}/{spoilt}/{how}/{share}/"
    good = f"{place.world.mirror}/none/none/0/"
    second = draw.random() < 0.3
    job = replace(place.job(script), addresses=(bad, good) if second else (bad,))
    auto = script in ("train", "sweep") and not second and draw.random() < 0.4
    if auto:  # which has synthetic rows to fall back on
        arguments = ["auto" if word == "uci" else word for word in job.arguments]
        at = arguments.index("--register")
        job = replace(job, arguments=arguments[:at] + arguments[at + 2 :])
    place.empty_cache()
    code = place.run(job)
    return Ended([code], struck=True, succeeds=int(second or auto), uci=not auto)


def two_at_once(place: Scene, script: str, draw: random.Random, factor: float) -> Ended:
    """Two processes share cache, store and output; in some cases one is killed."""
    if script != "score":
        place.empty_cache()
    seconds = place.world.seconds[script, place.kind]
    processes = [place.started(place.job(script))]
    time.sleep(draw.random() * seconds * 0.3)
    processes.append(place.started(place.job(script)))
    killed = draw.random() < 0.3
    if killed:
        processes[0].join(draw.random() * seconds)
        processes[0].kill()
    codes = [place.ended(process) for process in processes]
    signals = (signal.SIGKILL,) if killed else ()
    # of two that promote, one may find that the other one did
    succeeds = 1 if killed or script == "promote" else 2
    return Ended(codes, True, signals, killed, 0 if killed and script == "promote" else succeeds)


def kinds() -> list[Kind]:
    """Those that this machine can bring about."""
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
    if os.geteuid() != 0 or disk.may_mount():  # root may write where nobody may
        found.append(Kind("store read-only", read_only))
    return found
