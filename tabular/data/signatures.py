"""What a file is by its first bytes: another format than its name says, or no UTF-8 text."""

import codecs
from typing import NamedTuple

import numpy as np

from tabular.errors import UserError

HEAD_BYTES = 1 << 12  # bytes at the start of a file that its format is told from
MIN_BYTES = 16  # a shorter text tells nothing about its encoding


class Format(NamedTuple):
    """A format of files."""

    magic: bytes  # what a file of the format begins with
    name: str
    remedy: str  # what to do with a file whose name says that it has another format


GZIP = Format(b"\x1f\x8b", "a gzip file", "rename it so that it ends in .gz, such as .csv.gz")
PARQUET = Format(b"PAR1\x15", "a Parquet file", "rename it so that it ends in .parquet")
ZIP = Format(
    b"PK\x03\x04", "a zip archive or an Excel workbook", "unpack it, or save the sheet as CSV"
)
LFS_POINTER = Format(
    b"version https://git-lfs.github.com/spec/",
    "a pointer of Git LFS",
    "run `git lfs pull` to replace it by the file itself",
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
    for other in (GZIP, PARQUET, ZIP, LFS_POINTER):
        if other != expected and head.startswith(other.magic):
            raise UserError(f"{named} looks like {other.name}; {other.remedy}")
    if expected == GZIP and not head.startswith(GZIP.magic):
        raise UserError(f"{named} is not a gzip file; rename it so that it does not end in .gz")


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
