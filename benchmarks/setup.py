"""From `git clone` to the first FINISHED run, for each way to set up, with empty caches.

Each way starts with a home folder that holds the rows and nothing else, and `env -i`: only where
packages come from is passed on. Two ways expect MLflow to be at hand; that is made before.

    CENSUS_DATA_DIR=<folder of the real files> python -m benchmarks.setup
"""

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from census import table

PROJECT = Path(__file__).resolve().parent.parent
PACKAGES = ("PIP_", "UV_", "SSL_", "REQUESTS_CA_BUNDLE")
VENV = "python3 -m venv .venv && . .venv/bin/activate && pip install -q"
UV = re.search(r"^uv==[\w.]+", (PROJECT / "requirements-dev.txt").read_text(), re.M)[0]
INSTALL = f"{VENV} {UV} && uv pip install -q -r requirements.txt"
RUN = "mlflow run . -P max_depth=6 --env-manager"
WAYS = {
    "uv, as the README says": f"{INSTALL} && {RUN} local",
    "pip": f"{VENV} -r requirements.txt && {RUN} local",
    "mlflow at hand, --env-manager uv": f"{RUN} uv",
    "mlflow at hand, --env-manager virtualenv": f"{RUN} virtualenv",
}


def home(folder: Path) -> Path:
    """A home folder with the rows in its cache."""
    cache = folder / ".cache" / "census-mlflow"
    cache.mkdir(parents=True)
    for name in table.DIGESTS:
        shutil.copy(Path(os.environ["CENSUS_DATA_DIR"]) / name, cache)
    return folder


def bash(command: str, folder: Path, *paths: Path) -> str:
    """What a command prints, in a home folder of its own."""
    python = Path(sys.base_prefix) / "bin"
    environment = {name: value for name, value in os.environ.items() if name.startswith(PACKAGES)}
    environment |= {
        "HOME": str(folder),
        "PATH": ":".join(map(str, [*paths, python, "/usr/local/bin", "/usr/bin", "/bin"])),
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    if pyenv := shutil.which("pyenv"):
        environment["PATH"] += f":{Path(pyenv).parent}"
        environment["PYENV_ROOT"] = str(Path(pyenv).resolve().parent.parent)
    done = subprocess.run(
        ["bash", "-ec", command],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode:
        sys.exit(f"{command} failed:\n{done.stdout}")
    return done.stdout


@click.command(help=__doc__)
@click.option("--rounds", default=1, show_default=True)
def main(rounds: int) -> None:
    if "CENSUS_DATA_DIR" not in os.environ:
        sys.exit("set CENSUS_DATA_DIR to the folder of the real files")
    taken = {way: [] for way in WAYS if "virtualenv" not in way or shutil.which("pyenv")}
    with tempfile.TemporaryDirectory() as name:
        tool = home(Path(name) / "tool")
        bash(f"git clone -q {PROJECT} p; cd p; {INSTALL}", tool)
        for number in range(rounds):
            for way, command in WAYS.items():
                if way not in taken:
                    continue
                folder = home(Path(name) / f"{number}-{len(taken[way])}-{way.replace(' ', '-')}")
                at_hand = [tool / "p/.venv/bin"] if "at hand" in way else []
                start = time.perf_counter()
                printed = bash(f"git clone -q {PROJECT} p; cd p; {command}", folder, *at_hand)
                seconds = time.perf_counter() - start
                if not re.search("^test   accuracy", printed, re.M):
                    sys.exit(f"{way} made no run:\n{printed}")
                print(f"round {number + 1}, {way}: {seconds:.0f} s", flush=True)
                taken[way].append(seconds)
                shutil.rmtree(folder)
    for way, seconds in taken.items():
        shown = f"median {statistics.median(seconds):.0f} s"
        print(f"{way:42} {shown}, from {min(seconds):.0f} to {max(seconds):.0f}")


if __name__ == "__main__":
    main()
