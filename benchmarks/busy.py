"""The time of a fit while other processes use the cores, with and without a bound on spinning.

A thread of OpenMP that has finished its part of a step looks for the others in a busy loop before
it sleeps. Where other processes need the cores, a thread that spins keeps the one it waits for from
running. The project's scripts bound the loop by ``GOMP_SPINCOUNT``. Every fit is in a process of
its own, in turn with and without the bound.

    CENSUS_DATA_DIR=<folder of the real files> python -m benchmarks.busy
"""

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import joblib

from tabular.environment import MAX_SPINS, SPINS

PROJECT = Path(__file__).resolve().parent.parent
FIT = """
import time
from tabular.data import sources
from tabular.model import boosting
from tabular.model.hyperparameters import DEFAULTS
matrix = boosting.full_matrix(sources.load().train)
start = time.perf_counter()
boosting.fit(DEFAULTS | {"max_depth": 6}, matrix)
first = time.perf_counter()
shape = {"max_depth": 10, "grow_policy": "lossguide", "max_leaves": 34, "max_cat_to_onehot": 100}
boosting.fit(DEFAULTS | shape, matrix)
print(first - start, time.perf_counter() - first)
"""
CASES = {"as OpenMP does": {}, "bounded": {SPINS: MAX_SPINS}}


@contextmanager
def busy(n_processes: int) -> Iterator[None]:
    """Keep as many cores busy."""
    others = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n_processes)
    ]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def fit(variables: dict[str, str]) -> list[float]:
    """The seconds of 100 trees of depth 6, and of 100 trees grown leaf by leaf."""
    environment = {k: v for k, v in os.environ.items() if k not in (SPINS, "OMP_WAIT_POLICY")}
    done = subprocess.run(
        [sys.executable, "-c", FIT], env=environment | variables, cwd=PROJECT,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [float(word) for word in done.stdout.split()]


@click.command(help=__doc__)
@click.option("--rounds", default=5, show_default=True)
def main(rounds: int) -> None:
    for n_processes in (0, 2 * joblib.cpu_count()):
        with busy(n_processes):
            measured = [{name: fit(case) for name, case in CASES.items()} for _ in range(rounds)]
        print(f"{n_processes} busy processes beside it, {joblib.cpu_count()} cores")
        for name in CASES:
            seconds = zip(*(found[name] for found in measured), strict=True)
            shown = [
                f"{statistics.median(s):.2f} s ({min(s):.2f} to {max(s):.2f})" for s in seconds
            ]
            print(f"  {name:16} depth 6: {shown[0]:26} leaf by leaf: {shown[1]}")


if __name__ == "__main__":
    main()
