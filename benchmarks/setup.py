"""The time from `git clone` to the first FINISHED run, for each method of setup, and disk space.

Each method starts with a home folder that contains the data files only, and with an empty
environment but for the settings of package indexes. Two methods need an installed MLflow, which is
prepared before.

    CENSUS_DATA_DIR=<folder of the real files> python -m benchmarks.setup
"""

import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import click

from tests.machine import Machine

PROJECT = Path(__file__).resolve().parent.parent
README = (PROJECT / "README.md").read_text()
FIRST = re.search(r"```sh\n(.*?)```", README, re.S)[1]
RUN = "mlflow run . -P max_depth=6 --env-manager"
WAYS = {
    "uv, as in the README": FIRST,
    "pip": re.sub(r"pip install -q uv\S+ && uv (?=pip)", "", FIRST),
    "MLflow installed, --env-manager uv": f"{RUN} uv",
    "MLflow installed, --env-manager virtualenv": f"{RUN} virtualenv",
}


def machine(folder: Path, *paths: Path) -> Machine:
    """A clean machine with the pyenv of this one."""
    rows, pyenv = Path(os.environ["CENSUS_DATA_DIR"]), shutil.which("pyenv")
    clean = Machine(folder, PROJECT, rows, *paths, *([Path(pyenv).parent] if pyenv else []))
    if pyenv:
        clean.environment["PYENV_ROOT"] = str(Path(pyenv).resolve().parent.parent)
    return clean


def megabytes(clean: Machine) -> float:
    """The size of the environment that a method has made, of the project or of MLflow."""
    folders = [clean.clone / ".venv", clean.home / ".mlflow" / "envs"]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return sum(path.lstat().st_size for path in files) / 1e6


@click.command(help=__doc__)
@click.option("--rounds", default=1, show_default=True)
def main(rounds: int) -> None:
    if "CENSUS_DATA_DIR" not in os.environ:
        sys.exit("set CENSUS_DATA_DIR to the folder of the real files")
    taken = {way: [] for way in WAYS if "virtualenv" not in way or shutil.which("pyenv")}
    with tempfile.TemporaryDirectory() as name:
        tool = machine(Path(name) / "tool")
        tool.run(FIRST)
        for number in range(1, rounds + 1):
            for place, way in enumerate(taken):
                folder = Path(name) / f"{number}-{place}"
                start = time.perf_counter()
                fresh = machine(folder, *([tool.clone / ".venv/bin"] if "installed" in way else []))
                printed = fresh.run(WAYS[way], seconds=1200)
                seconds = time.perf_counter() - start
                if not re.search("^test   accuracy", printed, re.M):
                    sys.exit(f"{way} made no run:\n{printed}")
                size = megabytes(fresh)
                print(f"round {number}, {way}: {seconds:.0f} s, {size:.0f} MB", flush=True)
                taken[way].append(seconds)
                shutil.rmtree(folder)
    for way, seconds in taken.items():
        shown = f"median {statistics.median(seconds):.0f} s"
        print(f"{way:42} {shown}, from {min(seconds):.0f} to {max(seconds):.0f}")


if __name__ == "__main__":
    main()
