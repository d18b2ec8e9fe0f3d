"""Tables of other fields than the census, generated, with what real ones have."""

import numpy as np
import pandas as pd


def churn(n_rows: int = 2000) -> pd.DataFrame:
    """Customers of a telephone company: an id, a date, a boolean, a constant, missing numbers."""
    rng = np.random.default_rng(0)
    tenure = rng.integers(0, 72, n_rows)
    monthly = np.round(rng.uniform(18, 118, n_rows), 2)
    contract = rng.choice(["month-to-month", "one year", "two years"], n_rows, p=[0.55, 0.2, 0.25])
    risk = 0.02 * monthly - 0.05 * tenure + (contract == "month-to-month") - 1
    days = pd.to_timedelta(rng.integers(0, 2000, n_rows), "D")
    return pd.DataFrame(
        {
            "customerID": [f"{i:04d}-{rng.integers(1e9):09d}" for i in range(n_rows)],
            "signed up": pd.Timestamp("2020-01-01") + days,
            "senior": rng.random(n_rows) < 0.16,
            "tenure": tenure,
            "contract": contract,
            "monthly charges": monthly,
            "total charges": np.where(tenure == 0, np.nan, tenure * monthly),
            "country": "DE",
            "Zahlungsart": rng.choice(["Überweisung", "Lastschrift", "Kreditkarte"], n_rows),
            "Churn": np.where(rng.random(n_rows) < 1 / (1 + np.exp(-risk)), "Yes", "No"),
        }
    )


def awkward_names(n_rows: int = 500) -> pd.DataFrame:
    """Numbers and text in columns with names that libraries refuse or use themselves."""
    rng = np.random.default_rng(1)
    names = ["mean [0] <cm>", "a.b", "class", "None", "y_true", "sample_weight", "group", "rows"]
    names += ["probability", "index", "größe ²", "a/b", "tab\there", "{x}", "$a$", "label"]
    frame = pd.DataFrame({name: rng.normal(size=n_rows).round(3) for name in names})
    score = frame.sum(axis=1) + rng.normal(size=n_rows)
    text = rng.choice(["[a]", "<b>", "c"], n_rows)
    return frame.assign(**{"text <>": text, "target": (score > 0).astype(int)})


def census_forms(splits: dict[str, pd.DataFrame]) -> dict[str, dict[str, bytes]]:
    """Rows of the census as other people write them: the bytes of files by form and name.

    Args:
        splits: the rows of train and test, with UCI's names and labels without full stop.
    """

    def both(change=lambda frame: frame, extension="csv", **options) -> dict[str, bytes]:
        options = {"index": False} | options
        return {
            f"{name}.{extension}": change(frame).to_csv(**options).encode()
            for name, frame in splits.items()
        }

    def renamed(old: str, new: str):
        return lambda frame: frame.rename(columns=lambda name: name.replace(old, new))

    def labelled(value):
        return lambda frame: frame.assign(income=value(frame["income"]))

    missing = ("NA", "N/A", "null", "None", "NaN", "nan", "")
    return {
        "plain": both(),
        "index_column": both(index=True),
        "quoted": both(quoting=1),
        "semicolons": both(sep=";"),
        "tabs": both(extension="tsv", sep="\t"),
        "bars": both(sep="|"),
        "dots": both(renamed("-", ".")),
        "underscores": both(renamed("-", "_")),
        "capitals": both(lambda frame: frame.rename(columns=str.title)),
        "class_label": both(renamed("income", "class")),
        "gender": both(renamed("sex", "gender")),
        "other_order": both(lambda frame: frame[[*frame][::-1]]),
        "extra_column": both(lambda frame: frame.assign(note="no feature")),
        "crlf": both(lineterminator="\r\n"),
        "labels_with_stops": both(labelled(lambda income: income + ".")),
        "labels_0_1": both(labelled(lambda income: (income == ">50K").astype(int))),
        "labels_0.0_1.0": both(labelled(lambda income: (income == ">50K").astype(float))),
        "labels_true_false": both(labelled(lambda income: income == ">50K")),
        **{f"missing_{word or 'empty'}": both(na_rep=word) for word in missing},
    }
