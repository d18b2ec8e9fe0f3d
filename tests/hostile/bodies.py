"""Requests to a served model that are malformed in one of many ways, and the valid responses."""

import copy
import json
import random
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import requests

from tabular.data import sources, synthetic
from tabular.data.census import CENSUS
from tabular.model import boosting, served
from tabular.model.hyperparameters import DEFAULTS
from tabular.tracking import logged_model
from tests.helpers import PERSON as ROW
from tests.hostile.files import CELLS, flipped, replaced, truncated
from tests.servers import serving

JSON = "application/json"
PERSON = {k: float(v) if isinstance(v, int) else v for k, v in ROW.items()}
VALUES = (
    None, True, False, 0, -1, 39, 2**31, 2**53 + 1, 2**63, 2**64, -(2**63) - 1, 10**30, 10**400,
    1e308,
    3.5e38, 5e-324, -0.0, float("nan"), float("inf"), float("-inf"), "", " ", "39", "nan", "inf",
    "x",
    "\x00", "\ud800", "\U0001f600", "x" * 10_000, "<script>", [], [39], [[39]], [None], {},
    {"a": 1},
    {"age": 39}, "1994-01-01", "2262-04-12T00:00:00Z", *CELLS,
)  # fmt: skip
KEYS = (
    "dataframe_split", "dataframe_records", "instances", "inputs", "params", "columns", "data",
    "index",
    "signature_name", "messages", "prompt", "input", "query", "", "\x00", "x" * 10_000, "__class__",
    "dtype", "orient",
)  # fmt: skip


class Body:
    """The body of a request, before it is encoded.

    Attributes:
        rows: as dictionaries.
        form: the key of the rows, which decides how they are encoded.
        rest: further keys and values.
    """

    def __init__(self, rng: random.Random):
        self.rows = [dict(PERSON) for _ in range(rng.choice([1, 1, 2, 5, 70]))]
        self.form = rng.choice(["dataframe_records", "dataframe_split", "instances", "inputs"])
        self.rest = {}

    def encode(self) -> dict:
        names = [*dict.fromkeys(name for row in self.rows for name in row)]
        if self.form == "dataframe_split":
            data = [[row.get(name) for name in names] for row in self.rows]
            encoded = {"columns": names, "data": data}
        elif self.form == "inputs":
            encoded = {name: [row.get(name) for row in self.rows] for name in names}
        else:
            encoded = self.rows
        return {self.form: encoded} | self.rest


def values(rng: random.Random, body: Body) -> None:
    for row in rng.sample(body.rows, rng.randint(min(1, len(body.rows)), len(body.rows))):
        row[rng.choice(CENSUS.features)] = rng.choice(VALUES)


def all_values(rng: random.Random, body: Body) -> None:
    name, value = rng.choice(CENSUS.features), rng.choice(VALUES)
    for row in body.rows:
        row[name] = value


def columns(rng: random.Random, body: Body) -> None:
    name, what = rng.choice(CENSUS.features), rng.randrange(4)
    for row in body.rows:
        if what == 0:
            row.pop(name, None)
        elif what == 1:
            row[rng.choice(["x", "", " age", "Age", "income", "probability", "\x00"])] = 1
        elif what == 2:
            row[f" {name}"] = row.pop(name, 1)
        elif rng.random() < 0.5:
            row.pop(name, None)


def params(rng: random.Random, body: Body) -> None:
    choice = rng.choice([*VALUES, 0, 1, 0.5, 7, -1, 1.0000001, [0.5], {"threshold": 0.5}])
    body.rest["params"] = rng.choice([choice, {"threshold": choice}, {"threshold": choice}])
    if rng.random() < 0.3 and isinstance(body.rest["params"], dict):
        body.rest["params"][rng.choice(["x", "Threshold", "", "\x00", "a" * 9999])] = choice


def keys(rng: random.Random, body: Body) -> None:
    """Further keys, or another key of the rows."""
    if rng.random() < 0.3:
        body.form = rng.choice(KEYS)
    for _ in range(rng.randrange(3)):
        body.rest[rng.choice(KEYS)] = rng.choice([*VALUES, [PERSON], {"columns": ["age"]}])


def no_rows(rng: random.Random, body: Body) -> None:
    body.rows = rng.choice([[], [{}], [{}, {}], [dict(PERSON), {}]])


CHANGES = {
    "values": values,
    "all values": all_values,
    "columns": columns,
    "params": params,
    "keys": keys,
    "no rows": no_rows,
}


def shape(rng: random.Random, body: Body) -> object:
    """Any value instead of the rows, a component of the table, or the body."""
    other = [
        *VALUES,
        [PERSON],
        [[PERSON]],
        PERSON,
        [[39.0] * 14],
        [39.0],
        [PERSON, None],
        [PERSON, 1],
    ]
    encoded = body.encode()
    what = rng.randrange(4)
    if what == 0:
        return rng.choice(other)
    if what == 1:
        return {body.form: rng.choice(other)}
    split = {"columns": [*PERSON], "data": [[*PERSON.values()]], "index": [0]}
    if what == 2:
        part = rng.choice([*split])
        split[part] = rng.choice([*other, ["age"], [["age"]], [[1, 2], [1]], ["age"] * 14, [0, 1]])
        if rng.random() < 0.3:
            del split[rng.choice([*split])]
        return {"dataframe_split": split}
    changed = copy.deepcopy(encoded)
    key = next(iter(changed))
    return {key: {rng.choice(["a", "columns", "data"]): changed[key]}}


def nested(rng: random.Random, body: Body) -> str:
    depth, (left, right) = rng.choice([10, 500, 900]), rng.choice([("[", "]"), ('{"a":', "}")])
    deep = left * depth + "1" + right * depth
    person = json.dumps(PERSON)
    return rng.choice([
        deep, f'{{"dataframe_records": {deep}}}',
        f'{{"dataframe_records": [{person}], "params": {deep}}}',
        f'{{"dataframe_records": [{person[:-1]}, "x": {deep}}}]}}', f'{{"inputs": {deep}}}',
    ])  # fmt: skip


def deeper(rng: random.Random, body: Body) -> str:
    return nested(rng, body).replace("[", "[" * 2000).replace("]", "]" * 2000)


def literal(rng: random.Random, body: Body) -> str:
    """A number that is unusual or invalid in JSON, or a repeated key."""
    number = rng.choice(
        ["1e400", "-1e400", "1e-400", "1E+2", "039", "+39", "39.", ".5", "0x10", "NaN", "Infinity",
         "-Infinity", "1_000", "9" * 400, "9" * 5000, "0." + "0" * 5000 + "1", "1e" + "9" * 50,
         "''", "nan"]
    )  # fmt: skip
    text = json.dumps(body.encode())
    if rng.random() < 0.3:
        return text.replace('"age":', f'"age": 1, "age": {number}, "age":')
    return text.replace("39.0", number)


TEXTS: dict[str, Callable] = {
    "shapes": lambda rng, body: json.dumps(shape(rng, body)),
    "literals": literal,
    "nesting": nested,
    "absurd nesting": deeper,
    "truncated": lambda rng, body: truncated(rng, json.dumps(body.encode()).encode()),
    "bytes flipped": lambda rng, body: flipped(rng, json.dumps(body.encode()).encode()),
    "bytes replaced": lambda rng, body: replaced(rng, json.dumps(body.encode()).encode()),
    "other content": lambda rng, body: rng.choice(
        [b"", b" ", b"\x00", b"null", b"1", b'"x"', b"[]", b"{}", b"<html>", b"\xff\xfe{}",
         b"{'a': 1}", b"nan",
         b"\xef\xbb\xbf{}", json.dumps(body.encode()).encode("utf-16"), b"[" * 99, b"PAR1",
         bytes(range(256))]
    ),
}  # fmt: skip


def request(rng: random.Random) -> tuple[str, bytes, dict[str, str]]:
    """How a request is malformed, its content and its headers."""
    body, kind = Body(rng), rng.choice([*CHANGES, *TEXTS, "as CSV", "content type"])
    headers = {"Content-Type": JSON}
    if kind in CHANGES:
        for change in dict.fromkeys([kind, rng.choice([*CHANGES])]):
            CHANGES[change](rng, body)
        content = json.dumps(body.encode())
    elif kind in TEXTS:
        content = TEXTS[kind](rng, body)
    else:
        content = json.dumps(body.encode())
        if kind == "as CSV":
            lines = [",".join(PERSON), ",".join(map(str, PERSON.values()))]
            content = rng.choice([truncated, flipped, replaced])(rng, "\n".join(lines).encode())
            headers = {"Content-Type": "text/csv"}
        else:
            names = ["", "text/html", "x", "application/json; charset=utf-16",
                     "application/parquet",
                     "application/json;", "text/csv; charset=x", "application/x-parquet",
                     None]  # fmt: skip
            name = rng.choice(names)
            headers = {} if name is None else {"Content-Type": name}
    content = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    return kind, content, headers


RAISED = re.compile(r"^\w*(?:Error|Exception)\b.*", re.M)  # the last line of a traceback


def outcome(address: str, content: bytes, headers: dict[str, str], log: Path) -> tuple[str, str]:
    """The outcome of a request, and its reason.

    An outcome is ``correct``, ``error`` (refused with a reason), ``MLflow`` (its server failed
    before the model's code ran) or ``WRONG``.
    """
    before = log.stat().st_size
    try:
        response = requests.post(address, content, headers=headers, timeout=30)
    except requests.RequestException as error:
        return "WRONG", f"{type(error).__name__}: {error}"
    text = response.text[:300]
    if response.status_code == 200:
        try:
            _require_correct(response.json()["predictions"], content, headers)
        except (AssertionError, KeyError, TypeError, ValueError) as error:
            return "WRONG", f"{type(error).__name__} {error}: {text}"
        return "correct", ""
    unexpected = response.status_code >= 500 or "unexpected error" in response.text
    if unexpected:
        trace = _trace(log, before) + response.text
        raised = RAISED.findall(trace)
        outcome = "WRONG" if "served.py" in trace or not raised else "MLflow"
        return outcome, f"{response.status_code} {(raised or [trace])[-1][-300:]}"
    if 400 <= response.status_code < 500 and text.strip():
        return "error", text
    return "WRONG", f"{response.status_code} {text}"


def _trace(log: Path, start: int) -> str:
    """What the server has logged since, once a traceback is complete, or after two seconds."""
    for _ in range(20):
        with log.open("rb") as file:
            file.seek(start)
            trace = file.read().decode(errors="replace")
        if RAISED.search(trace):
            break
        time.sleep(0.1)
    return trace


def _require_correct(predictions: list[dict], content: bytes, headers: dict[str, str]) -> None:
    """Check that each row has a prediction: one of the two labels, and a probability."""
    for prediction in predictions:
        assert [*prediction] == [CENSUS.label, "probability"], "keys"
        assert prediction[CENSUS.label] in (CENSUS.negative, CENSUS.positive), "label"
        assert 0 <= prediction["probability"] <= 1, "probability"
    if headers.get("Content-Type") == JSON:
        sent = json.loads(content)
        for form in ("dataframe_records", "instances"):
            if isinstance(rows := sent.get(form), list):
                given = [row for row in rows if row or form != "instances"]  # MLflow drops {}
                assert len(given) == len(predictions), "number of predictions"
        split = sent.get("dataframe_split")
        if isinstance(split, dict) and isinstance(split["data"], list):  # else pandas repeats it
            assert len(split["data"]) == len(predictions), "number of predictions"


def try_many(number: int, seed: int, folder: Path) -> Iterator[tuple[str, str, str]]:
    """Send ``number`` malformed requests to a served model; yields kind, outcome and reason."""
    synthetic.write(folder, 2000)
    dataset = sources.load(str(folder))
    booster, _ = boosting.fit(
        DEFAULTS | {"n_estimators": 10}, boosting.bin_rows(dataset.train.X, dataset.train.y)
    )
    boosting.set_labels(booster, CENSUS)
    booster.save_model(folder / "booster.ubj")
    (folder / "table.json").write_text(dataset.table.to_json(), encoding="utf-8")
    mlflow.pyfunc.save_model(
        folder / "model",
        python_model=served.__file__,
        artifacts={
            "booster": str(folder / "booster.ubj"),
            "table": str(folder / "table.json"),
        },
        signature=logged_model.logged_signature(CENSUS),
        pip_requirements=[],
        input_example=[PERSON],
    )
    log = folder / "serve.log"
    with serving(str(folder / "model"), log) as address:
        for position in range(number):
            kind, content, headers = request(random.Random(f"body {seed} {position}"))
            found, why = outcome(address, content, headers, log)
            yield kind, found, f"request {position} {content[:200]!r} {headers}: {why}"
