"""Two measurements of benchmarks.gpu, each in a process of its own; they print a line of JSON.

python -m benchmarks.gpu_probes compare DATA DEVICE MODEL_URI SCORED
python -m benchmarks.gpu_probes stages DATA DEVICE
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import xgboost

from tabular.data import sources
from tabular.model import boosting
from tabular.model.hyperparameters import DEFAULTS
from tabular.model.served import Encoder


def compare(data: str, device: str, uri: str, scored: str) -> dict[str, float]:
    """The largest differences between a model's probabilities for the test rows.

    Args:
        device: predicts them, too.
        uri: of the logged model, which predicts on the CPU.
        scored: a file that score.py wrote.
    """
    test = sources.load(data).test
    path = mlflow.artifacts.download_artifacts(f"{uri}/artifacts/booster.ubj")
    booster = xgboost.Booster(model_file=path)
    codes = Encoder(booster)(test.X)
    names = {"feature_names": booster.feature_names, "feature_types": booster.feature_types}
    on_cpu = booster.inplace_predict(codes)
    booster.set_param({"device": device})
    on_device = booster.predict(xgboost.DMatrix(codes, **names))
    written = pd.read_parquet(scored)["probability"].to_numpy()
    return {
        "rows": len(written),
        f"cpu to {device}": float(np.abs(on_cpu - on_device).max()),
        "cpu to score.py": float(np.abs(on_cpu - written).max()),
        "accuracy of score.py": float(((written >= 0.5) == test.y).mean()),
    }


def stages(data: str, device: str) -> dict[str, float]:
    """The seconds of reading and binning the training rows, and of fits.

    The first fit moves the binned rows to the device. The last one bins the rows there.
    """
    seconds: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = work()
        seconds[name] = round(time.perf_counter() - start, 2)
        return result

    train = timed("read", lambda: sources.load(data).train)
    timed("start device", lambda: boosting.require_device(device))
    binned = timed("bin", lambda: boosting.full_matrix(train))
    timed("fit", lambda: boosting.fit(DEFAULTS, binned, device=device))
    timed("fit again", lambda: boosting.fit(DEFAULTS, binned, device=device))
    X = boosting.escape(train.X)
    plain = timed("not binned", lambda: xgboost.DMatrix(X, train.y, enable_categorical=True))
    timed("bin and fit", lambda: boosting.fit(DEFAULTS, plain, device=device))
    return seconds


if __name__ == "__main__":
    print(json.dumps({"compare": compare, "stages": stages}[sys.argv[1]](*sys.argv[2:])))
