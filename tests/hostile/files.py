"""Data files that are malformed in one of many ways."""

import codecs
import faulthandler
import gzip
import random
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tabular.data import census, sources, synthetic
from tabular.data.census import CENSUS
from tests.hostile import oracle
from tests.hostile.oracle import NAMES

N_ROWS = 40
CELLS = (
    "", " ", "?", "??", "nan", "-nan", "NaN", "inf", "-Infinity", "1e400", "-1e400", "3.5e38",
    "1e39", "1e-400", "9" * 400, "0." + "0" * 400 + "1", "+39", "39.", ".5", ".", "-", "--1", "1e",
    "1e+", "0x10", "1_000", "1,000", "1.5.5", "\u0663\u0669", "\uff13\uff19", "\u00bd", "True",
    "None", "null", "NULL", "<=50K", ">50K", ">50K.", ">50K..", "=1+1", "$(id)", "; rm -rf .",
    "<script>alert(1)</script>", "![x](http://127.0.0.1/x)", "$\\frac{$", "\x00", "a\x00b",
    "\x1b[31m", "\u202e", "\ufeff", "\u2028", "\x85", "\x0b", "\x1c", "\u00a0", "\ud7ff",
    "\U0010ffff",
    "\U0001f600", "a" * 100_000, '"', '""', '"a', 'a"', '"a""', "'", "\\", "|", "|x", "\t", "\r",
    "\r\n", "\n", "18446744073709551616", "-9223372036854775809", "2147483648",
)  # fmt: skip


def good(folder: Path) -> dict[str, bytes]:
    """The content of well-formed files of the same rows, by extension."""
    folder.mkdir(exist_ok=True)
    synthetic.write(folder, 2 * N_ROWS)
    lines = (folder / census.TEST).read_text().splitlines()[1:]
    rows = [line.removesuffix(".").split(", ") for line in lines]
    uci = "".join(", ".join(row) + "\n" for row in rows)
    text = "".join(",".join(row) + "\n" for row in [NAMES, *rows])
    sink = pa.BufferOutputStream()
    pq.write_table(_columns(rows), sink, use_dictionary=False)
    forms = {".data": uci.encode(), ".csv": text.encode(), ".parquet": sink.getvalue().to_pybytes()}
    assert len({row[-1] for row in rows}) == 2
    return forms


def _columns(rows: list[list[str]]) -> pa.Table:
    columns = dict(zip(NAMES, zip(*rows, strict=True), strict=True))
    return pa.table(
        {
            name: pa.array(
                [None if v == "?" else float(v) if name in CENSUS.numeric else v for v in values],
                pa.float64() if name in CENSUS.numeric else pa.string(),
            )
            for name, values in columns.items()
        }
    )


def write(rng: random.Random, forms: dict[str, bytes], folder: Path) -> tuple[str, Path]:
    """Write a dataset with one malformed file; returns the kind of damage, and the file."""
    splits = [census.TRAIN, census.TEST]
    rng.shuffle(splits)
    (folder / splits[0]).write_bytes(forms[".data"])
    suffix = rng.choice([*forms])
    kind, content = damage(rng, forms, suffix)
    own = sources.SPLIT_NAMES[splits[1]]
    if rng.random() < 0.25:
        (folder / own).mkdir()
        for position in range(rng.randrange(3)):
            form = rng.choice([*forms])
            (folder / own / f"{position}{form}").write_bytes(forms[form])
        path = folder / own / f"{rng.randrange(4)}b{suffix}"
    else:
        path = folder / (splits[1] if suffix == ".data" else own + suffix)
    path.write_bytes(content)
    return kind, path


def damage(rng: random.Random, forms: dict[str, bytes], suffix: str) -> tuple[str, bytes]:
    """Damage a well-formed file; returns the kind of damage, and the content."""
    kinds = {".data": TEXT, ".csv": TEXT | HEADER, ".parquet": PARQUET}[suffix]
    kind = rng.choice([*kinds])
    content = kinds[kind](rng, forms[suffix])
    if rng.random() < 0.1 and kind != "truncated":
        content = truncated(rng, content)
    return f"{suffix} {kind}", content


def truncated(rng: random.Random, content: bytes) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def flipped(rng: random.Random, content: bytes) -> bytes:
    content = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 5, 30]) if content else 0):
        content[rng.randrange(len(content))] ^= rng.choice([1, 2, 32, 128, rng.randrange(1, 256)])
    return bytes(content)


def replaced(rng: random.Random, content: bytes) -> bytes:
    """Replace a run of bytes by others, of the same or another length."""
    at, n_bytes = rng.randrange(len(content) + 1), rng.choice([1, 4, 50, 500])
    filling = rng.choice([b"\x00", b"\xff", b"0", b",", rng.randbytes(n_bytes)]) * n_bytes
    return content[:at] + filling + content[at + rng.choice([0, n_bytes]) :]


def inserted(*texts: bytes) -> Callable:
    def insert(rng: random.Random, content: bytes) -> bytes:
        for _ in range(rng.choice([1, 1, 2, 7])):
            at = rng.randrange(len(content) + 1)
            content = content[:at] + rng.choice(texts) + content[at:]
        return content

    return insert


def opened_by(*texts: bytes) -> Callable:
    return lambda rng, content: rng.choice(texts) + content


def encoded(rng: random.Random, content: bytes) -> bytes:
    text = content.decode().replace("Private", "Priv\u00e9")
    return text.encode(rng.choice(["utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"]))


def instead(*contents: bytes) -> Callable:
    return lambda rng, content: rng.choice(contents)


def line_ends(rng: random.Random, content: bytes) -> bytes:
    ends = (b"\r", b"\r\n", b"\n\r", b"\r\r\n", b"\x0b", b"\xe2\x80\xa8", b"\xc2\x85", b"", b"\n\n")
    end = rng.choice(ends)
    return re.sub(b"\n", lambda _: end if rng.random() < 0.7 else b"\n", content)


def fields_moved(rng: random.Random, content: bytes) -> bytes:
    """Drop, repeat, exchange or reverse fields of some lines."""
    lines = content.split(b"\n")
    for position in rng.sample(range(len(lines)), rng.choice([1, 1, 3, 10])):
        fields = lines[position].split(b",")
        i, j = (rng.randrange(len(fields)) for _ in "ab")
        what = rng.randrange(5)
        if what == 0:
            del fields[i]
        elif what == 1:
            fields.insert(i, fields[j])
        elif what == 2:
            fields[i], fields[j] = fields[j], fields[i]
        else:
            fields = fields[::-1] if what == 3 else fields * 3
        lines[position] = b",".join(fields)
    return b"\n".join(lines)


def cells(rng: random.Random, content: bytes) -> bytes:
    """Replace some values."""
    lines = content.split(b"\n")
    for position in rng.sample(range(1, len(lines)), rng.choice([1, 1, 3])):
        fields = lines[position].split(b",")
        fields[rng.randrange(len(fields))] = rng.choice(CELLS).encode()
        lines[position] = b",".join(fields)
    return b"\n".join(lines)


def column(rng: random.Random, content: bytes) -> bytes:
    """Replace the values of a column."""
    position, cell = rng.randrange(len(NAMES)), rng.choice(CELLS).encode()
    head, *lines = content.split(b"\n")
    for number, line in enumerate(lines):
        if len(fields := line.split(b",")) > position:
            fields[position] = cell
            lines[number] = b",".join(fields)
    return b"\n".join([head, *lines])


def lines_moved(rng: random.Random, content: bytes) -> bytes:
    """Join, split, repeat or blank lines, or make one very long."""
    lines = content.split(b"\n")
    position, what = rng.randrange(len(lines)), rng.randrange(5)
    if what == 0:
        lines[position : position + 2] = [b"".join(lines[position : position + 2])]
    elif what == 1:
        at = rng.randrange(len(lines[position]) + 1)
        lines[position : position + 1] = [lines[position][:at], lines[position][at:]]
    elif what == 2:
        lines *= 3
    elif what == 3:
        lines.insert(
            position, rng.choice([b" ", b"\t \x0c", b"|", b"| x", b"\xc2\xa0", b",", b'""'])
        )
    else:
        lines[position] = rng.choice([b"x", b",", b"39,", b'"']) * rng.choice([10**5, 10**6])
    return b"\n".join(lines)


TEXT = {
    "truncated": truncated,
    "bytes flipped": flipped,
    "bytes replaced": replaced,
    "quotes": inserted(b'"', b'""', b'"\n', b'\n"', b'","', b"'", b"\\"),
    "NULs": inserted(b"\x00", b"\x00\x00\x00", b"\x1a"),
    "no UTF-8": inserted(b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\x80"),
    "BOM": opened_by(codecs.BOM_UTF8, codecs.BOM_UTF8 * 2, b"\xef\xbb", b"\n" + codecs.BOM_UTF8),
    "BOM of UTF-16": opened_by(codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE),
    "other encoding": encoded,
    "other content": instead(
        b"", b" ", b"\n", b"\r", b"\n" * 1000, b"|", b"|\n" * 50, b"\x00" * 5000, codecs.BOM_UTF8,
        b"<html><body>Please log in</body></html>", b"{}", b"PAR1", gzip.compress(b"39, Private"),
        b'"' * 999, b'"\n' * 999, b"," * 9999, ("\u20ac" * 9999).encode(), bytes(range(256)) * 9,
    ),
    "line ends": line_ends,
    "fields moved": fields_moved,
    "cells": cells,
    "column": column,
    "lines moved": lines_moved,
}  # fmt: skip


def header(rng: random.Random, content: bytes) -> bytes:
    """Drop, repeat, change, permute or add names of columns, some of them very long."""
    names, odd = [*NAMES], rng.choice([*CELLS, "a\rb", "x" * 200_000, "\x1b]0;x\x07", "\udcff"])
    i, what = rng.randrange(len(names)), rng.randrange(10)
    if what == 0:
        del names[i]
    elif what == 1:
        names.insert(rng.randrange(len(names)), names[i])
    elif what == 2:
        names[i] = rng.choice([str.upper, str.title, repr, lambda name: f' "{name}" '])(names[i])
    elif what == 3:
        rng.shuffle(names)
    elif what == 4:
        names[i] = odd
    elif what == 5:
        names.insert(i, odd)
    elif what == 6:
        names += [f"x{n}" for n in range(rng.choice([1, 30, 3000]))]
    elif what == 7:
        names += [""] * rng.choice([1, 2, 1000])
    elif what == 8:
        names = [odd] * rng.choice([1, 15, 100])
    else:
        names = [f'"{name}"' for name in names]
    separator = rng.choice([",", ",", ",", ", ", ";", "\t", ",\n"])
    wider = max(0, len(names) - len(NAMES))
    rows = content.partition(b"\n")[2].replace(b"\n", b",1" * wider + b"\n")
    return separator.join(names).encode("utf-8", "surrogateescape") + b"\n" + rows


HEADER = {
    "header": header,
    "header again": header,
    "no header": lambda rng, content: content.partition(b"\n")[2],
    "header only": lambda rng, content: content.partition(b"\n")[0] + rng.choice([b"", b"\n"]),
    "header twice": lambda rng, content: content.partition(b"\n")[0] + b"\n" + content,
}


def rewritten(change: Callable) -> Callable:
    """A function that writes a Parquet file again with changed columns."""

    def rewrite(rng: random.Random, content: bytes) -> bytes:
        rows = change(rng, pq.read_table(pa.BufferReader(content)))
        sink = pa.BufferOutputStream()
        compression = rng.choice(["none", "snappy", "zstd", "gzip"])
        pq.write_table(
            rows,
            sink,
            compression=compression,
            use_dictionary=rng.random() < 0.5,
            row_group_size=rng.choice([7, 1000]),
            data_page_version=rng.choice(["1.0", "2.0"]),
            store_schema=rng.random() < 0.8,
        )
        return sink.getvalue().to_pybytes()

    return rewrite


def invalid_utf8(n_rows: int) -> pa.Array:
    """A column of text that is not UTF-8."""
    offsets = pa.array(range(0, 2 * n_rows + 1, 2), pa.int32()).buffers()[1]
    return pa.Array.from_buffers(
        pa.string(), n_rows, [None, offsets, pa.py_buffer(b"\xff\xfe" * n_rows)]
    )


def strange(rng: random.Random, n_rows: int) -> pa.Array:
    """A column of any type."""
    integers = pa.array([rng.choice([0, 1, 39, 2**31 - 1, 2**62, -(2**62)]) for _ in range(n_rows)])
    small = pa.array([rng.randrange(100) for _ in range(n_rows)])
    texts = pa.array([rng.choice(CELLS).replace("\ud7ff", "") for _ in range(n_rows)])
    makers = (
        lambda: pa.nulls(n_rows),
        lambda: pa.array([True, False] * n_rows)[:n_rows],
        lambda: integers,
        lambda: small.cast(rng.choice([pa.int8(), pa.uint8(), pa.uint64(), pa.float16()])),
        lambda: small.cast(rng.choice([pa.decimal128(30, 3), pa.decimal256(60, 5)])),
        lambda: integers.cast(pa.timestamp(rng.choice(["ms", "us", "ns"]))),
        lambda: pa.array([2**31 - 1] * n_rows, pa.int32()).cast(pa.date32()),
        lambda: integers.cast(pa.duration(rng.choice(["s", "ns"]))),
        lambda: pa.array([10**12] * n_rows).cast(pa.time64("ns")),
        lambda: pa.array([rng.choice([np.inf, -np.inf, np.nan, 1e39, -0.0,
        5e-324]) for _ in range(n_rows)]),
        lambda: texts,
        lambda: texts.cast(rng.choice([pa.large_string(), pa.string_view()])),
        lambda: texts.cast(pa.binary()),
        lambda: texts.cast(pa.binary()).cast(pa.binary_view()),
        lambda: texts.dictionary_encode(),
        lambda: small.dictionary_encode(),
        lambda: pa.array([b"0123456789abcdef"] * n_rows, pa.binary(16)),
        lambda: pa.array([[1, 2]] * n_rows),
        lambda: pa.array([{"a": {"b": [None]}}] * n_rows),
        lambda: pa.array([[(1, b"\xff")]] * n_rows, pa.map_(pa.int64(), pa.binary())),
        lambda: pa.StructArray.from_arrays([small, small], ["a", "a"]),
        lambda: invalid_utf8(n_rows),
    )  # fmt: skip
    return rng.choice(makers)()


def types(rng: random.Random, rows: pa.Table) -> pa.Table:
    for position in rng.sample(range(len(NAMES)), rng.choice([1, 1, 2])):
        rows = rows.set_column(position, NAMES[position], strange(rng, len(rows)))
    return rows


def further_columns(rng: random.Random, rows: pa.Table) -> pa.Table:
    """Add columns of any type, and a bad value, so that the error shows them."""
    rows = rows.set_column(0, "age", pa.array([np.inf, *rows["age"].to_pylist()[1:]]))
    for name in rng.sample(["x", "a.b", "", "\x1b[31m", "age", CENSUS.label, "y" * 9999], 2):
        rows = rows.append_column(name, strange(rng, len(rows)))
    return rows


def fewer(rng: random.Random, rows: pa.Table) -> pa.Table:
    """Remove columns or rows."""
    if rng.random() < 0.3:
        return rows.slice(0, rng.choice([0, 1]))
    return rows.select(rng.sample(NAMES, rng.randrange(len(NAMES))))


def nulls(rng: random.Random, rows: pa.Table) -> pa.Table:
    for position in rng.sample(range(len(NAMES)), rng.randrange(1, 4)):
        rows = rows.set_column(
            position, NAMES[position], pa.nulls(len(rows), rows.schema[position].type)
        )
    return rows


def in_footer(rng: random.Random, content: bytes) -> bytes:
    """Change bytes of the footer, which describes the columns."""
    length = int.from_bytes(content[-8:-4], "little")
    if rng.random() < 0.2:
        length = rng.choice([0, 1, length - 1, length + 1, 2**31 - 1, 2**32 - 1])
        return content[:-8] + length.to_bytes(4, "little") + content[-4:]
    start = len(content) - 8 - length
    return content[:start] + flipped(rng, content[start:-8]) + content[-8:]


PARQUET = {
    "truncated": truncated,
    "bytes flipped": flipped,
    "bytes flipped in a compressed file": lambda rng, content: flipped(
        rng, rewritten(lambda rng, rows: rows)(rng, content)
    ),
    "footer": in_footer,
    "bytes replaced": replaced,
    "other content": instead(b"", b"PAR1", b"PAR1" * 3, b"PAR1\x00\x00\x00\x00PAR1", b"PARE" * 9,
                             b"PAR1" + b"\xff" * 99 + b"\x10\x00\x00\x00PAR1",
                             b"age,sex\n39,Male\n"),
    "types": rewritten(types),
    "further columns": rewritten(further_columns),
    "fewer": rewritten(fewer),
    "nulls": rewritten(nulls),
}  # fmt: skip


def try_many(number: int, seed: int, folder: Path) -> Iterator[tuple[str, str, str]]:
    """Read ``number`` malformed files; yields the kind of damage, the outcome and its reason.

    A warning is an error, and a file that takes a minute to read ends the process.
    """
    forms = good(folder)
    for position in range(number):
        with tempfile.TemporaryDirectory(dir=folder) as one, warnings.catch_warnings():
            warnings.simplefilter("error")
            faulthandler.dump_traceback_later(60, exit=True, file=sys.__stderr__)
            try:
                kind, path = write(random.Random(f"file {seed} {position}"), forms, Path(one))
                found, why = oracle.outcome(path, Path(one))
            finally:
                faulthandler.cancel_dump_traceback_later()
        yield kind, found, f"file {position}, {path.name}: {why}"
