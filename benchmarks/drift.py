"""How often `score` reports drift where there is none, and which drift it finds.

In each round a model is trained on a random half of adult.data, and rows of the other half are
scored, as they are and changed by hand. A false alarm is a column, or the predictions, with a
significant difference; drift is one with a PSI of at least 0.1, too.

    python -m benchmarks.drift            # the real files: see data/README.md
    python -m benchmarks.drift --rounds 10
"""

import time
from collections.abc import Callable, Iterator

import click
import numpy as np
import pandas as pd

from tabular.data import sources
from tabular.data.dataset import Split
from tabular.evaluation import drift
from tabular.model import boosting
from tabular.model.hyperparameters import DEFAULTS
from tabular.model.served import Encoder

SIZES = 100, 1_000, 16_280  # scored rows
DRIFT = ["moderate", "large"]
SECONDS: dict[str, list[float]] = {"profile": [], "a row": []}  # of processor time
Scorer = Callable[[pd.DataFrame], pd.DataFrame]


def make_scorer(X: pd.DataFrame, y: np.ndarray, test: Split) -> Scorer:
    """What a model trained on rows says of the drift of others, as the table of a run."""
    booster, _ = boosting.fit(DEFAULTS | {"n_estimators": 30}, boosting.bin_rows(X, y))
    encode = Encoder(booster)
    known = zip(encode.names, encode.lookups, strict=True)
    categories = {name: [*lookup] for name, lookup in known if lookup is not None}

    def predict(rows: pd.DataFrame) -> np.ndarray:
        return booster.inplace_predict(encode(rows))

    predicted, start = predict(test.X), time.process_time()
    profile = drift.Profile.make(drift.profile_columns(encode(X), encode), predicted)
    SECONDS["profile"].append(time.process_time() - start)

    def score(rows: pd.DataFrame) -> pd.DataFrame:
        predicted, counter = predict(rows), drift.Counter(profile, categories)
        start = time.process_time()
        counter.add(counter.count(rows, predicted))
        SECONDS["a row"].append((time.process_time() - start) / len(rows))
        return drift.drift_table(counter).set_index("column")

    return score


def changes(rows: pd.DataFrame, rng: np.random.Generator) -> Iterator[tuple[str, pd.Series]]:
    """What is changed, and the changed column."""
    for name in ("age", "hours-per-week"):
        yield f"{name} + 5", rows[name] + 5
    for name, text in (
        ("education", "Bachelors"),
        ("marital-status", "Divorced"),
        ("workclass", "Self-emp-inc"),
    ):
        column, has = rows[name].copy(), rows[name] == text
        column.iloc[rng.choice(np.flatnonzero(~has), has.sum(), replace=False)] = text
        yield f"{name}: {text} doubled", column
    texts = rows["workclass"].cat.add_categories("never seen")
    texts[rng.random(len(rows)) < 0.05] = "never seen"
    yield "workclass: 5% unseen", texts
    yield "occupation: 10% missing", rows["occupation"].where(rng.random(len(rows)) > 0.1)


@click.command(help=__doc__)
@click.option("--rounds", default=100, show_default=True)
@click.option("--data", default="uci", show_default=True)
def main(rounds: int, data: str) -> None:
    dataset, rng = sources.load(data), np.random.default_rng(0)
    train, alarms, found = dataset.train, [], []
    for number in range(rounds):
        half, others = np.split(rng.permutation(train.n_rows), [train.n_rows // 2])
        score = make_scorer(train.X.iloc[half], train.y[half], dataset.test)
        for n_rows in SIZES:
            rows = train.X.iloc[others[:n_rows]]
            verdicts = score(rows)["drift"]
            alarms.append((n_rows, (verdicts != "none").any(), verdicts.isin(DRIFT).any()))
            if number % 5 == 0:
                for what, column in changes(rows, rng):
                    row = score(rows.assign(**{column.name: column})).loc[column.name]
                    found.append((what, n_rows, row["psi"], row["drift"] in DRIFT))
    print(f"no drift, {rounds} rounds: share of the files with a significant column, with drift")
    table = pd.DataFrame(alarms, columns=["rows", "significant", "drift"])
    print(table.groupby("rows").mean().to_string())
    print("changed by hand, every fifth round: mean PSI, and share of the files where it is found")
    table = pd.DataFrame(found, columns=["change", "rows", "psi", "found"])
    print(table.pivot_table(["psi", "found"], "change", "rows", sort=False).round(2).to_string())
    score = make_scorer(train.X, train.y, dataset.test)
    whole = score(dataset.test.X)
    score(pd.concat([dataset.test.X] * 4, ignore_index=True))  # as many rows as a block of Parquet
    print("test rows against training rows: smallest corrected p-value, largest PSI")
    print(f"{whole['p_value'].min():.3f} {whole['psi'].max():.4f}")
    print("processor time of the profile of all training rows, and of counting a row of a block")
    print(f"{SECONDS['profile'][-1]:.3f} s, {SECONDS['a row'][-1] * 1e9:.0f} ns")


if __name__ == "__main__":
    main()
