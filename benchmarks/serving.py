"""The served model compared with one of the same signature that returns a constant.

Both get requests of 1, 100 and 10,000 rows alternately. Then several clients send valid and
invalid requests at the same time, while the memory of the server is measured.

CENSUS_DATA_DIR=<folder of the real files> python -m benchmarks.serving
"""

import collections
import json
import os
import statistics
import tempfile
import threading
import time
from pathlib import Path

import click
import mlflow
import numpy as np
import psutil
import requests

from benchmarks import constant
from tabular.data import sources
from tabular.model import boosting
from tabular.model.hyperparameters import DEFAULTS
from tabular.tracking import logged_model
from tests.servers import serving

BATCHES = {1: 1.0, 100: 1.0, 10_000: 0.05}  # rows: the share of --requests
WARM_UP = 10  # seconds under load before memory is compared
HEADERS = {"Content-Type": "application/json"}


def log_models(folder: str) -> dict[str, str]:
    """Log both models; returns their addresses."""
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
    mlflow.create_experiment("serving", f"{folder}/artifacts")
    mlflow.set_experiment("serving")
    dataset = sources.load()
    booster, _ = boosting.fit(
        DEFAULTS | {"max_depth": 6}, boosting.bin_rows(dataset.train.X, dataset.train.y)
    )
    boosting.set_labels(booster, dataset.table)
    examples = logged_model.to_client_frame(dataset.test.X.head(1))
    with mlflow.start_run():
        ours = logged_model.log_model(booster, examples, {}, dataset.table)
        floor = mlflow.pyfunc.log_model(
            name="constant",
            python_model=constant.__file__,
            signature=ours.signature,
            input_example=examples,
            pip_requirements=[],
        )
    return {"ours": ours.model_uri, "constant": floor.model_uri}


def body(n_rows: int) -> str:
    """A request for the first rows of the test set."""
    rows = logged_model.to_client_frame(sources.load().test.X.head(n_rows))
    return json.dumps({"dataframe_split": json.loads(rows.to_json(orient="split", index=False))})


def in_turn(addresses: list[str], text: str, n: int) -> list[list[float]]:
    """Milliseconds of ``n`` requests to each address, sent alternately."""
    sessions = [requests.Session() for _ in addresses]
    found = [[] for _ in addresses]
    for number in range(n + 2):
        for address, session, taken in zip(addresses, sessions, found, strict=True):
            start = time.perf_counter()
            response = session.post(address, text, headers=HEADERS, timeout=60)
            elapsed = time.perf_counter() - start
            response.raise_for_status()
            if number >= 2:  # the first two connect
                taken.append(elapsed * 1000)
    return found


def report(round_number: int, n_rows: int, ours: list[float], floor: list[float]) -> None:
    line = f"round {round_number}, {n_rows:6,} rows, {len(ours)} requests:"
    for name, quantile in (("p50", 0.5), ("p99", 0.99)):
        a, b = (np.quantile(taken, quantile) for taken in (ours, floor))
        line += f" {name} {a:.2f} ms, constant {b:.2f} ms, ratio {a / b:.2f};"
    a, b = (n_rows * 1000 / statistics.mean(taken) for taken in (ours, floor))
    print(f"{line} {a:,.0f} rows a second, constant {b:,.0f}, ratio {a / b:.2f}", flush=True)


def mixture() -> list[tuple[str, int]]:
    """Valid and invalid requests, each with the expected status."""
    good = json.loads(body(1))["dataframe_split"]
    row = dict(zip(good["columns"], good["data"][0], strict=True))
    number, word = ("age", "sex")
    short = {name: value for name, value in row.items() if name != word}
    records = [
        (row, 200),
        (row | {word: "never seen"}, 200),
        (row | {word: None, number: None}, 200),
        (row | {"extra": 1}, 200),
        (short, 400),
        (row | {number: "old"}, 400),
        (row | {word: ["a list"]}, 400),
        (row | {number: 1e300}, 400),
    ]
    found = [(json.dumps({"dataframe_records": [record]}), status) for record, status in records]
    threshold = {"dataframe_records": [row], "params": {"threshold": 7}}
    found += [(json.dumps(threshold), 400), ('{"dataframe_records": [', 400), ("{}", 400)]
    return [*found, (body(100), 200), (body(1000), 200)]


def tree_mb() -> float:
    """Memory of all child processes, in MB; shared pages count once."""
    total = 0
    for process in psutil.Process().children(recursive=True):
        try:
            total += process.memory_full_info().pss
        except psutil.Error:
            continue
    return total / 1e6


def load(address: str, seconds: float, clients: int) -> None:
    """Send the mixture from several clients at the same time, and measure the server's memory."""
    cases, wrong, counts = mixture(), collections.Counter(), collections.Counter()
    end = time.monotonic() + WARM_UP + seconds

    def client(first: int) -> None:
        session, number = requests.Session(), first
        while time.monotonic() < end:
            text, expected = cases[number % len(cases)]
            response = session.post(address, text, headers=HEADERS, timeout=60)
            counts[response.status_code] += 1
            wrong[f"{response.status_code} for {expected}"] += response.status_code != expected
            number += 1

    start, samples = tree_mb(), []
    threads = [threading.Thread(target=client, args=[3 * i]) for i in range(clients)]
    for thread in threads:
        thread.start()
    began = time.monotonic()
    while any(thread.is_alive() for thread in threads):
        samples.append((time.monotonic() - began, tree_mb()))
        time.sleep(1)
    warm = [sample for sample in samples if sample[0] >= WARM_UP]
    at, mb = np.array(warm).T
    slope = np.polyfit(at / 60, mb, 1)[0]
    unexpected = {status: n for status, n in wrong.items() if n}
    print(
        f"mixed, {clients} clients, {seconds:.0f} s after {WARM_UP} s: "
        f"{sum(counts.values()):,} requests {dict(sorted(counts.items()))}, "
        f"unexpected {unexpected or 'none'}; memory idle {start:.0f} MB, "
        f"then {mb[0]:.1f} to {mb[-1]:.1f} MB (most {mb.max():.1f}), slope {slope:+.2f} MB a minute"
    )


@click.command(help=__doc__)
@click.option("--requests", "n", default=600, show_default=True, help="Requests to each model.")
@click.option("--rounds", default=3, show_default=True)
@click.option(
    "--seconds", default=60.0, show_default=True, help="Duration of mixed requests; 0: none."
)
@click.option("--clients", default=4, show_default=True, help="Clients that send mixed requests.")
def main(n: int, rounds: int, seconds: float, clients: int) -> None:
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    with tempfile.TemporaryDirectory() as folder:
        uris, log = log_models(folder), Path(folder) / "log"
        texts = {n_rows: body(n_rows) for n_rows in BATCHES}
        with serving(uris["ours"], log) as ours, serving(uris["constant"], log) as floor:
            for number in range(1, rounds + 1):
                for n_rows, text in texts.items():
                    n_requests = max(2, int(n * BATCHES[n_rows]))
                    report(number, n_rows, *in_turn([ours, floor], text, n_requests))
        if seconds:
            with serving(uris["ours"], log) as ours:
                load(ours, seconds, clients)


if __name__ == "__main__":
    main()
