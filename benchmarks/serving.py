"""One row over REST: our model beside a do-nothing model with the same signature.

CENSUS_DATA_DIR=<folder of the real files> python -m benchmarks.serving
"""

import contextlib
import json
import os
import socket
import statistics
import subprocess
import tempfile
import time

import click
import mlflow
import requests

from benchmarks import nothing
from census import data, model, tracking
from census.hyperparameters import DEFAULTS


def log_models(folder: str) -> dict[str, str]:
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    mlflow.create_experiment("serving", f"{folder}/artifacts")
    mlflow.set_experiment("serving")
    rows = data.load()
    booster, _ = model.fit(DEFAULTS | {"max_depth": 6}, model.matrix(rows.train.X, rows.train.y))
    examples = tracking.raw_rows(rows.test.X.head(1))
    with mlflow.start_run():
        ours = tracking.log_model(booster, examples, {})
        floor = mlflow.pyfunc.log_model(
            name="nothing",
            python_model=nothing.__file__,
            signature=ours.signature,
            input_example=examples,
            pip_requirements=[],
        )
    return {"ours": ours.model_uri, "do nothing": floor.model_uri}


@contextlib.contextmanager
def serving(uri: str):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["mlflow", "models", "serve", "-m", uri, "--env-manager", "local", "-p", str(port)]
    process = subprocess.Popen(
        command,
        env=os.environ | {"MLFLOW_TRACKING_URI": mlflow.get_tracking_uri()},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        for _ in range(120):
            with contextlib.suppress(requests.ConnectionError):
                requests.get(f"http://127.0.0.1:{port}/ping", timeout=5).raise_for_status()
                break
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        os.killpg(process.pid, 15)
        process.wait(30)


@click.command(help=__doc__)
@click.option("--requests", "n", default=600, show_default=True, help="Of each model, in turn.")
@click.option("--rounds", default=3, show_default=True)
def main(n: int, rounds: int) -> None:
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    with tempfile.TemporaryDirectory() as folder:
        uris = log_models(folder)
        row = tracking.raw_rows(data.load().test.X.head(1))
        body = json.dumps({"dataframe_split": json.loads(row.to_json(orient="split", index=False))})
        with serving(uris["ours"]) as ours, serving(uris["do nothing"]) as floor:
            sessions = {url: requests.Session() for url in (ours, floor)}
            for number in range(1, rounds + 1):
                seconds = {url: [] for url in sessions}
                for _ in range(n):
                    for url, session in sessions.items():
                        start = time.perf_counter()
                        answer = session.post(
                            url, body, headers={"Content-Type": "application/json"}, timeout=10
                        )
                        seconds[url].append(time.perf_counter() - start)
                        answer.raise_for_status()
                a, b = (statistics.median(seconds[url]) * 1000 for url in (ours, floor))
                c, d = (
                    statistics.quantiles(seconds[url], n=100)[98] * 1000 for url in (ours, floor)
                )
                print(
                    f"round {number}: p50 {a:.2f} ms, do nothing {b:.2f} ms, ratio {a / b:.2f}; "
                    f"p99 {c:.2f} ms, do nothing {d:.2f} ms"
                )


if __name__ == "__main__":
    main()
