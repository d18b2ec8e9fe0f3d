"""What a file is by its first bytes: another format than its name says, or no UTF-8 text."""

import codecs
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tabular.errors import UserError

HEAD_BYTES = 1 << 12  # bytes at the start of a file that its format is told from
MIN_BYTES = 16  # a shorter text tells nothing about its encoding


class Format(NamedTuple):
    """A format of files."""

    start: re.Pattern[bytes]  # what a file of the format begins with
    name: str
    remedy: str  # what to do with a file whose name says that it has another format


def _text(pattern: bytes) -> re.Pattern[bytes]:
    """A pattern for text, which may begin with a byte order mark and blanks; in any case."""
    return re.compile(rb"(?:\xef\xbb\xbf)?\s*" + pattern, re.I)


def _bytes(*beginnings: bytes) -> re.Pattern[bytes]:
    return re.compile(b"|".join(map(re.escape, beginnings)))


SAVE = "save its rows as CSV or Parquet"
FETCH = "download it again and look at what the server says"
GZIP = Format(
    _bytes(b"\x1f\x8b"), "a gzip file", "rename it so that it ends in .gz, such as .csv.gz"
)
PARQUET = Format(_bytes(b"PAR1\x15"), "a Parquet file", "rename it so that it ends in .parquet")
POINTERS = (
    Format(
        _bytes(b"version https://git-lfs.github.com/spec/"),
        "a pointer of Git LFS",
        "run `git lfs pull` to replace it by the file itself",
    ),
    Format(
        re.compile(rb"(/|(\.\./)*\.git/)annex/objects/"),
        "a pointer of git-annex",
        "run `git annex get` to replace it by the file itself",
    ),
)
OTHERS = (
    *POINTERS,
    Format(
        _bytes(b"PK\x03\x04", b"PK\x05\x06"),
        "a zip archive or an Excel workbook",
        "unpack it, or save the sheet as CSV",
    ),
    Format(_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), "an Excel workbook", SAVE),
    Format(
        re.compile(rb"BZh[1-9]1AY&SY|\xfd7zXZ\x00|\x28\xb5\x2f\xfd|7z\xbc\xaf\x27\x1c"),
        "a file compressed by bzip2, xz, zstd or 7z",
        "decompress it, or compress it by gzip",
    ),
    Format(_bytes(b"ARROW1\0\0"), "an Arrow (Feather) file", SAVE),
    Format(_bytes(b"SQLite format 3\0"), "an SQLite database", SAVE),
    Format(_bytes(b"\x89HDF\r\n\x1a\n"), "an HDF5 file", SAVE),
    Format(_bytes(b"\x93NUMPY"), "a NumPy file", SAVE),
    Format(_bytes(b"%PDF-"), "a PDF document", SAVE),
    Format(_text(rb"<(!doctype html|html[\s>]|head[\s>])"), "an HTML page", FETCH),
    Format(_text(rb"<\?xml\s"), "an XML document", FETCH),
    Format(_text(rb'(\[\s*)?\{\s*"([^"\\]|\\.)*"\s*:'), "JSON", SAVE),
    Format(_bytes(b"<<<<<<< "), "a file with an unresolved merge of Git", "resolve it"),
    Format(_bytes(bytes(16)), "a file of zeros, not written to its end", "copy it again"),
)
BOMS = {  # that of UTF-16 is the beginning of one of UTF-32
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
ZEROS = {  # which of four consecutive bytes of a text are mostly 0
    (False, True, True, True): "UTF-32LE",
    (True, True, True, False): "UTF-32BE",
    (False, True, False, True): "UTF-16LE",
    (True, False, True, False): "UTF-16BE",
}


def require_format(head: bytes, expected: Format | None, named: str) -> None:
    """Check that a file does not begin as a file of another format does.

    Args:
        head: the first ``HEAD_BYTES`` of the file.
        expected: the format that the file's name says; None: text.
        named: the file's name in errors.

    Raises:
        UserError: the file has another format. A broken Parquet file is not detected here.
    """
    for other in (GZIP, PARQUET, *OTHERS):
        if other != expected and other.start.match(head):
            raise UserError(f"{named} looks like {other.name}; {other.remedy}")
    if expected and not head:
        raise UserError(f"{named} is not {expected.name}: it is empty")
    if expected == GZIP and not GZIP.start.match(head):
        raise UserError(f"{named} is not a gzip file; rename it so that it does not end in .gz")
    if expected == PARQUET and not head.startswith(b"PAR"):
        raise UserError(
            f"{named} is not a Parquet file; if it is text, rename it so that it ends in .csv"
        )


def require_content(path: Path) -> None:
    """Raise ``UserError`` if a file only stands for another one: a pointer of Git LFS, say."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    for pointer in POINTERS:
        if pointer.start.match(head):
            raise UserError(f"{path} looks like {pointer.name}; {pointer.remedy}")


def explain_missing(path: Path) -> str:
    """What to do about a file that is not there; empty if nothing is known of it."""
    target = path.resolve() if path.is_symlink() else path
    if "annex/objects/" in target.as_posix():
        return "; it is a link of git-annex: run `git annex get` to fetch the file itself"
    return ""


def require_utf8(head: bytes, named: str) -> None:
    """Check that a text is not in UTF-16 or UTF-32.

    Args:
        head: the first ``HEAD_BYTES`` of the text.
        named: the file's name in errors.

    Raises:
        UserError: the text looks like UTF-16 or UTF-32.
    """
    encoding = next((name for bom, name in BOMS.items() if head.startswith(bom)), None)
    if encoding is None and len(head) >= MIN_BYTES:
        zeros = np.frombuffer(head[: len(head) // 4 * 4], np.uint8).reshape(-1, 4) == 0
        encoding = ZEROS.get((*(zeros.mean(axis=0) > 0.5).tolist(),))
    if encoding:
        raise UserError(f"{named}: expected UTF-8 text; {_conversion(encoding)}")


def explain_invalid_utf8(content: bytes) -> str:
    """Which encoding a text that is not UTF-8 probably has, and how to convert its file."""
    try:
        content.decode("windows-1252")
    except UnicodeDecodeError:
        return _conversion("ISO-8859-1")  # defines every byte
    return _conversion("Windows-1252")


def _conversion(encoding: str) -> str:
    command = f"iconv -f {encoding.upper()} -t UTF-8 FILE > NEW"
    return f"the file looks like {encoding}, convert it: {command}"
