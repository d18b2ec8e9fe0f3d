"""One row over REST: our model beside a do-nothing model with the same signature.

CENSUS_DATA_DIR=<folder of the real files> python -m benchmarks.serving
"""

import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import click
import mlflow
import requests

from benchmarks import nothing
from census import data, model, tracking
from census.hyperparameters import DEFAULTS
from tests.servers import serving


def log_models(folder: str) -> dict[str, str]:
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
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


@click.command(help=__doc__)
@click.option("--requests", "n", default=600, show_default=True, help="Of each model, in turn.")
@click.option("--rounds", default=3, show_default=True)
def main(n: int, rounds: int) -> None:
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    with tempfile.TemporaryDirectory() as folder:
        uris = log_models(folder)
        row = tracking.raw_rows(data.load().test.X.head(1))
        body = json.dumps({"dataframe_split": json.loads(row.to_json(orient="split", index=False))})
        log = Path(folder) / "log"
        with serving(uris["ours"], log) as ours, serving(uris["do nothing"], log) as floor:
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
