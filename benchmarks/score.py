"""`score` compared with a minimal loop over the same file: read, encode, predict, write.

Every round runs both, each in a process of its own, for UCI's dialect, CSV with a header and
Parquet. Their probabilities must be equal. The seconds and the throughput are those of the loop;
those of the whole process, with its start, the model's loading and its end, are given apart.

    python -m benchmarks.score --rows 10000000
    python -m benchmarks.score --folder kept     # writes model and files there, or uses those
    python -m benchmarks.score --rows 100000 --explain 3    # the cost of SHAP values instead
"""

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
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


def call(function: str, folder: Path, *arguments) -> tuple[str, float]:
    """Call a function of this file in a process of its own, to measure its memory alone.

    Returns:
        What it prints, and the seconds of the process.
    """
    code = f"import sys; from benchmarks import score; score.{function}(*sys.argv[1:])"
    return run([sys.executable, "-c", code, *arguments], folder)


def run(command: list, folder: Path) -> tuple[str, float]:
    """Run a command in a folder; returns what it prints, and its seconds."""
    start = time.perf_counter()
    done = subprocess.run(
        [str(argument) for argument in command], cwd=folder, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"{command} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout, time.perf_counter() - start


def theirs(model: str, source: Path, target: Path) -> dict[str, float]:
    """Seconds, MB and seconds of the whole process of the minimal loop."""
    printed, whole = call("bare", source.parent, model, source, target)
    return {**json.loads(printed), "whole": whole}


def ours(model: str, source: Path, target: Path, *others: str) -> dict[str, float]:
    """Seconds and MB of ``score.py``, as its run records them, and seconds of the command."""
    options = ["--model", model, "--input", source, "--output", target, *others]
    _, whole = run([sys.executable, PROJECT / "score.py", *options], source.parent)
    code = "import mlflow, json; runs = mlflow.search_runs(order_by=['start_time DESC']); "
    code += "print(json.dumps(runs.filter(like='metrics.').iloc[0].to_dict()))"
    metrics = json.loads(run([sys.executable, "-c", code], source.parent)[0])
    memory, seconds = metrics["metrics.peak_memory_mb"], metrics["metrics.score_seconds"]
    return {"seconds": seconds, "memory": memory, "whole": whole}


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


def compare(model: str, source: Path, rows: int, rounds: int) -> None:
    """Run both on a file, alternately, and print their seconds, memory and ratios."""
    mine, other = (source.with_name(f"{name}{source.suffix}") for name in ("mine", "theirs"))
    found = {"score.py": [], "minimal loop": []}
    for _ in range(rounds):
        found["minimal loop"].append(theirs(model, source, other))
        found["score.py"].append(ours(model, source, mine))
    call("require_equal", source.parent, mine, other)
    print(f"{source.suffix}, {source.stat().st_size / 1e6:,.0f} MB")
    for label, figures in found.items():
        seconds, whole = (median(row[key] for row in figures) for key in ("seconds", "whole"))
        memory = max(row["memory"] for row in figures)
        rate, whole_rate = rows / seconds, rows / whole
        print(f"  {label:12} {seconds:7.1f} s, {rate:10,.0f} rows/s, peak {memory:,.0f} MB")
        print(f"    whole process {whole:3.1f} s, {whole_rate:10,.0f} rows/s")
    for key, what in (("seconds", "throughput"), ("whole", "throughput of the whole process")):
        pairs = zip(found["minimal loop"], found["score.py"], strict=True)
        ratios = [other[key] / own[key] for other, own in pairs]
        least, most = min(ratios), max(ratios)
        print(f"  ratio of {what}: {median(ratios):.2f} ({least:.2f} to {most:.2f})")
    mine.unlink()
    other.unlink()


def explain_cost(model: str, source: Path, rows: int, rounds: int, explain: str) -> None:
    """Run ``score.py`` with and without SHAP values, alternately, and print what they cost."""
    target = source.with_name(f"mine{source.suffix}")
    found = {"0": [], explain: []}
    for _ in range(rounds):
        for number, figures in found.items():
            before = processor_seconds()
            figures.append(ours(model, source, target, "--explain", number))
            figures[-1]["processor"] = processor_seconds() - before
    for number, figures in found.items():
        seconds, memory = (median(row[key] for row in figures) for key in ("seconds", "memory"))
        print(f"{source.suffix}, explain={number}: {rows / seconds:,.0f} rows/s, {memory:,.0f} MB")
    without, explained = (median(row["processor"] for row in figures) for figures in found.values())
    print(
        f"  processor time of the SHAP values: {1000 * (explained - without) / rows:.2f} ms a row"
    )
    target.unlink()


def processor_seconds() -> float:
    """The processor time of all processes that have been run."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@click.command(help=__doc__)
@click.option("--rows", default=1_000_000, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--kinds", default=",".join(KINDS), show_default=True)
@click.option("--folder", "kept", type=click.Path(file_okay=False, path_type=Path))
@click.option("--explain", default="0", show_default=True)
def main(rows: int, rounds: int, kinds: str, kept: Path | None, explain: str) -> None:
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["PYTHONPATH"] = str(PROJECT)
    with ExitStack() as stack:
        folder = (
            kept.resolve() if kept else Path(stack.enter_context(tempfile.TemporaryDirectory()))
        )
        folder.mkdir(parents=True, exist_ok=True)
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        if not (folder / "rows.parquet").exists():
            call("prepare", folder, folder, rows)
        model = (folder / "model").read_text()
        print(f"{rows:,} rows, {rounds} rounds on {joblib.cpu_count()} cores, {platform.machine()}")
        for kind in kinds.split(","):
            if explain != "0":
                explain_cost(model, folder / f"rows{kind}", rows, rounds, explain)
            else:
                compare(model, folder / f"rows{kind}", rows, rounds)


if __name__ == "__main__":
    main()
