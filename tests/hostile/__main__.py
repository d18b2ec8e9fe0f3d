"""Try many malformed files, parameters, requests and any tables, and count the outcomes.

    python -m tests.hostile --number 10000 --seed 0

Prints a table by kind, then every wrong outcome; exits with status 1 if there is one.
"""

import os
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path

import click

OUTCOMES = {
    "error": "documented error",
    "correct": "correct result",
    "MLflow": "failure of MLflow's server",
    "WRONG": "anything else",
}


@click.command(help=__doc__)
@click.option("--number", default=10_000, type=click.IntRange(10), show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(number: int, seed: int) -> None:
    for name in [*os.environ]:
        if name.startswith(("MLFLOW_", "CENSUS_")):
            del os.environ[name]
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {
            "HOME": folder,
            "CENSUS_DOWNLOAD": "none",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        }
        sys.exit(_try_all(number, seed, Path(folder)))


def _try_all(number: int, seed: int, folder: Path) -> int:
    import mlflow

    from tests.hostile import bodies, files, parameters, table_oracle

    os.chdir(folder)
    mlflow.MlflowClient().search_experiments()  # creates the store
    counts, wrong, of_mlflow = Counter(), [], {}
    shares = {"file": (files, 0.4), "parameters": (parameters, 0.2), "request": (bodies, 0.2)}
    shares["table"] = (table_oracle, 0.2)
    for family, (module, share) in shares.items():
        subfolder = folder / family
        subfolder.mkdir()
        for kind, outcome, why in module.try_many(round(number * share), seed, subfolder):
            counts[f"{family}: {kind}", outcome] += 1
            if outcome == "WRONG":
                wrong.append(f"{family}: {kind}: {why}")
            elif outcome == "MLflow":
                reason = re.sub(r".*: (?=\d{3} )", "", why, flags=re.S)[:150]
                of_mlflow.setdefault((f"{family}: {kind}", reason.split(":")[0]), reason)
    kinds = sorted({kind for kind, _ in counts})
    width = max(map(len, kinds))
    heads = ["tried", *OUTCOMES.values()]
    click.echo(f"{'kind':{width}}  {'  '.join(heads)}")
    for kind in [*kinds, ""]:
        found = [sum(counts[k, o] for k in ([kind] if kind else kinds)) for o in OUTCOMES]
        cells = [f"{n:{len(h)},}" for n, h in zip([sum(found), *found], heads, strict=True)]
        click.echo(f"{kind or 'all':{width}}  {'  '.join(cells)}")
    for (kind, _), reason in of_mlflow.items():
        click.echo(f"MLflow's server, {kind}: {reason}")
    for note in wrong:
        click.echo(f"WRONG {note}")
    return bool(wrong)


if __name__ == "__main__":
    main()
