"""How fast a million rows are read: as the built-in table, and as a table that is inferred.

    python -m benchmarks.tables --rows 1000000 --rounds 3

The same synthetic rows are written three times: with the names of the census, which is known; with
other names, so that kinds, labels and columns of no use are found; and as one file with other
names, which is split by its rows, too.
"""

import tempfile
import time
from pathlib import Path

import click
import numpy as np
import pandas as pd

from tabular.data import census, sources, synthetic
from tabular.data.census import CENSUS
from tabular.data.requests import TableRequest

REQUEST = TableRequest(label="x_income", positive=CENSUS.positive)


def write(folder: Path, n_rows: int) -> None:
    """Write the rows as ``known/``, ``inferred/`` and ``one.csv``."""
    synthetic.write(folder, n_rows)
    names, frames = [*CENSUS.features, CENSUS.label], []
    for file, name in sources.SPLIT_NAMES.items():
        frame = pd.read_csv(folder / file, names=names, skipinitialspace=True, comment="|")
        frame[CENSUS.label] = frame[CENSUS.label].str.removesuffix(census.TEST_LABEL_SUFFIX)
        for form, written in (("known", frame), ("inferred", frame.add_prefix("x_"))):
            (folder / form).mkdir(exist_ok=True)
            written.to_csv(folder / form / f"{name}.csv", index=False)
        frames.append(frame.add_prefix("x_"))
    pd.concat(frames).to_csv(folder / "one.csv", index=False)


@click.command(help=__doc__.split("\n\n")[0])
@click.option("--rows", default=1_000_000, show_default=True, help="Training rows.")
@click.option("--rounds", default=3, show_default=True, help="Readings of each form, in turn.")
def main(rows: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write(folder, rows)
        forms = {
            "known": (folder / "known", None),
            "inferred": (folder / "inferred", REQUEST),
            "one file": (folder / "one.csv", REQUEST),
        }
        seconds: dict[str, list[float]] = {form: [] for form in forms}
        for _ in range(rounds):
            for form, (path, request) in forms.items():
                start = time.perf_counter()
                dataset = sources.load(str(path), request)
                seconds[form].append(time.perf_counter() - start)
                n_read = dataset.train.n_rows + dataset.test.n_rows
        for form, found in seconds.items():
            ratios = np.divide(seconds["known"], found)
            print(
                f"{form:10} {np.median(found):6.2f} s, {n_read / np.median(found):10,.0f} rows/s, "
                f"throughput {np.median(ratios):.2f} of the known table's "
                f"({ratios.min():.2f} to {ratios.max():.2f})"
            )


if __name__ == "__main__":
    main()
