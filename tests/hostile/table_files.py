"""Files of generated tables: text with any delimiter and quotes, compressed or not, and Parquet."""

import csv
import gzip
import io
import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tabular.data.requests import TableRequest
from tabular.data.table import MISSING
from tests.hostile.tables import Table


def write(table: Table, folder: Path, rng: random.Random) -> tuple[Path, TableRequest]:
    """Write the files of a table; returns the value of ``data``, and the parameters."""
    folder.mkdir(exist_ok=True)
    extension, n = table.form.extension, table.n_rows
    encode = _to_parquet if extension == ".parquet" else _to_text
    parts = {f"rows{extension}": [*range(n)]}
    if table.n_test:
        cut = n - table.n_test
        parts = {f"train{extension}": [*range(cut)], f"test{extension}": [*range(cut, n)]}
    for name, indices in parts.items():
        (folder / name).write_bytes(encode(table.take(indices), rng))
    data, request = folder if table.n_test else folder / f"rows{extension}", table.request()
    if not table.form.has_table_file:
        return data, request
    (folder / "table.toml").write_text(_to_toml(request), encoding="utf-8")
    return data, TableRequest()


def cell(value: object, rng: random.Random) -> str:
    """A value as the text of a field; a missing one is spelled in one of many ways."""
    if value is None:
        return rng.choice(MISSING)
    return json.dumps(value) if isinstance(value, list) else str(value)


def _to_text(table: Table, rng: random.Random) -> bytes:
    form, columns = table.form, table.ordered()
    content = io.StringIO(newline="")
    writer = csv.writer(
        content, delimiter=form.delimiter, quoting=form.quoting, lineterminator=form.line_end
    )
    writer.writerow([column.name for column in columns])
    for row in zip(*(column.values for column in columns), strict=True):
        writer.writerow([cell(value, rng) for value in row])
    data = content.getvalue().encode()
    return gzip.compress(data) if form.extension.endswith(".gz") else data


def _to_parquet(table: Table, rng: random.Random) -> bytes:
    arrays = []
    for column in table.ordered():
        values = column.values
        if any(isinstance(value, str) for value in values):  # a marker is missing here, too
            values = [rng.choice([None, "NA", " "]) if v is None else str(v) for v in values]
        array = pa.array(values)
        is_text = pa.types.is_string(array.type)
        arrays.append(
            array.dictionary_encode() if table.form.in_dictionaries and is_text else array
        )
    sink = pa.BufferOutputStream()
    names = [column.name for column in table.ordered()]
    pq.write_table(pa.Table.from_arrays(arrays, names), sink)
    return sink.getvalue().to_pybytes()


def _to_toml(request: TableRequest) -> str:
    """The text of a table.toml."""
    lines = [f"label = {_quote(request.label)}"]
    if request.positive is not None:
        lines.append(f"positive = {_quote(request.positive)}")
    if request.groups is not None:
        lines.append(f"groups = [{', '.join(map(_quote, request.groups))}]")
    kinds = [f"{_quote(name)} = {_quote(kind)}" for name, kind in request.columns.items()]
    return "\n".join([*lines, "[columns]", *kinds, ""])


def _quote(text: str | None) -> str:
    """A text as a string of TOML."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
