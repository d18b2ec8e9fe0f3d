"""`score` compared with a minimal loop over the same file: read, encode, predict, write.

Every round runs both, each in a process of its own, for UCI's dialect, CSV with a header and
Parquet. Their probabilities must be equal.

    python -m benchmarks.score --rows 10000000
"""

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import click
import joblib

PROJECT = Path(__file__).resolve().parent.parent
KINDS = ".data", ".csv", ".parquet"
BLOCK = 1 << 23


def bare(model: str, source: str, target: str) -> None:
    """A minimal loop with pyarrow: no checks, no bad rows, all cores for XGBoost."""
    import mlflow
    import numpy as np
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet as pq

    from tabular.data.census import CENSUS

    served = mlflow.pyfunc.load_model(model).unwrap_python_model()
    names = [*CENSUS.features, CENSUS.label]
    kinds = {name: pa.float64() if name in CENSUS.numeric else pa.string() for name in names}
    source, target = Path(source), Path(target)
    start = time.perf_counter()
    if source.suffix == ".parquet":
        batches = pq.ParquetFile(source).iter_batches(1 << 16)
    else:
        headless = {"column_names": names, "skip_rows": 1} if source.suffix == ".data" else {}
        batches = pa.csv.open_csv(
            source,
            pa.csv.ReadOptions(block_size=BLOCK, **headless),
            convert_options=pa.csv.ConvertOptions(column_types=kinds),
        )
    writer = None
    for batch in batches:
        rows = pa.Table.from_batches([batch])
        X = rows.select(CENSUS.features).to_pandas(categories=[*CENSUS.categorical])
        probability = served.booster.inplace_predict(served.encode(X)).astype(np.float64)
        labels = served.labels[(probability >= 0.5).astype(np.intp)]
        rows = rows.rename_columns([*names[:-1], "true_income"])
        rows = rows.append_column("income", pa.array(labels, pa.string()))
        rows = rows.append_column("probability", pa.array(probability))
        if not writer:
            kind = pq.ParquetWriter if target.suffix == ".parquet" else pa.csv.CSVWriter
            writer = kind(target, rows.schema)
        writer.write_table(rows)
    writer.close()
    seconds = time.perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(json.dumps({"seconds": seconds, "memory": memory}))


def prepare(folder: str, n_rows: str) -> None:
    """Make a model, and the same rows in every format."""
    import mlflow
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet as pq

    from tabular.data import columns, readers, synthetic
    from tabular.data.census import CENSUS

    folder = Path(folder)
    run([sys.executable, PROJECT / "train.py", "--data", "synthetic", "--max_depth", "6"], folder)
    (folder / "model").write_text(f"runs:/{mlflow.search_runs()['run_id'][0]}/model")
    synthetic.write(folder, int(n_rows))
    (folder / "adult.test").unlink()
    source = folder / "rows.data"
    (folder / "adult.data").rename(source)
    writers = {}
    with readers.open_rows(source, str(source)) as opened:
        for block in opened.blocks:
            chunk, X, _ = columns.interpret(opened.parse(*block), CENSUS.schema)
            numbers = {name: pa.array(X[name]) for name in X.select_dtypes("number")}
            text = dict(zip(chunk.rows.column_names, chunk.rows.columns, strict=True))
            rows = pa.table(text | numbers)
            for kind, writer in ((".csv", pa.csv.CSVWriter), (".parquet", pq.ParquetWriter)):
                if kind not in writers:
                    writers[kind] = writer(str(folder / f"rows{kind}"), rows.schema)
                writers[kind].write_table(rows)
    for writer in writers.values():
        writer.close()


def call(function: str, folder: Path, *arguments) -> str:
    """Call a function of this file in a process of its own, to measure its memory alone."""
    code = f"import sys; from benchmarks import score; score.{function}(*sys.argv[1:])"
    return run([sys.executable, "-c", code, *arguments], folder)


def run(command: list, folder: Path) -> str:
    """Run a command in a folder; returns what it prints."""
    done = subprocess.run(
        [str(argument) for argument in command], cwd=folder, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"{command} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def ours(model: str, source: Path, target: Path) -> dict[str, float]:
    """Seconds and MB of ``score.py``, as its run records them."""
    options = ["--model", model, "--input", source, "--output", target]
    run([sys.executable, PROJECT / "score.py", *options], source.parent)
    code = "import mlflow, json; runs = mlflow.search_runs(order_by=['start_time DESC']); "
    code += "print(json.dumps(runs.filter(like='metrics.').iloc[0].to_dict()))"
    metrics = json.loads(run([sys.executable, "-c", code], source.parent))
    memory = metrics["metrics.peak_memory_mb"]
    return {"seconds": metrics["metrics.score_seconds"], "memory": memory}


def require_equal(one: str, other: str) -> None:
    """Exit unless both files have the same predictions in the same order."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet as pq

    def predictions(path: Path) -> pa.Table:
        if path.suffix == ".parquet":
            return pq.read_table(path, columns=["income", "probability"])
        options = pa.csv.ReadOptions()
        if path.suffix == ".data":  # the output of score.py has no header either
            options.autogenerate_column_names = "theirs" not in path.name
        found = pa.csv.read_csv(path, options)
        return found.select(found.column_names[-2:])

    a, b = predictions(Path(one)), predictions(Path(other))
    texts = [[text.strip() for text in t.column(0).unique().to_pylist()] for t in (a, b)]
    if len(a) != len(b) or texts[0] != texts[1] or not a.column(1).equals(b.column(1)):
        sys.exit(f"{one} and {other} differ")


@click.command(help=__doc__)
@click.option("--rows", default=1_000_000, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--kinds", default=",".join(KINDS), show_default=True)
def main(rows: int, rounds: int, kinds: str) -> None:
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["PYTHONPATH"] = str(PROJECT)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        call("prepare", folder, folder, rows)
        model = (folder / "model").read_text()
        print(f"{rows:,} rows, {rounds} rounds on {joblib.cpu_count()} cores, {platform.machine()}")
        for kind in kinds.split(","):
            source, mine, theirs = (folder / f"{n}{kind}" for n in ("rows", "mine", "theirs"))
            found = []
            for _ in range(rounds):
                printed = call("bare", folder, model, source, theirs)
                found.append((ours(model, source, mine), json.loads(printed)))
            call("require_equal", folder, mine, theirs)
            ratios = [b["seconds"] / a["seconds"] for a, b in found]
            print(f"{kind}, {source.stat().st_size / 1e6:,.0f} MB")
            for label, place in (("score.py", 0), ("minimal loop", 1)):
                seconds = median(figures[place]["seconds"] for figures in found)
                memory = max(figures[place]["memory"] for figures in found)
                rate = rows / seconds
                print(f"  {label:12} {seconds:7.1f} s, {rate:10,.0f} rows/s, peak {memory:,.0f} MB")
            print(
                f"  ratio of throughput: {median(ratios):.2f} "
                f"({min(ratios):.2f} to {max(ratios):.2f})"
            )
            mine.unlink()
            theirs.unlink()


if __name__ == "__main__":
    main()
