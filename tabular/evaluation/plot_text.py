"""Text of a table in plots: fonts that have its characters, and names as one short line."""

import unicodedata
from functools import cache

from matplotlib import font_manager

from tabular.errors import one_line

# matplotlib's own font, and fonts that have the characters of East Asia, where they are installed
_WANTED = (
    *("DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "IPAexGothic", "Microsoft YaHei"),
    *("Yu Gothic", "Malgun Gothic", "PingFang SC", "Hiragino Sans", "Apple SD Gothic Neo"),
)


@cache
def fonts() -> list[str]:
    """The families of the fonts that are installed; each has characters that the others lack."""
    installed = {*font_manager.get_font_names()}
    return [name for name in _WANTED if name in installed]


@cache
def _drawable() -> set[int]:
    """The code points of the characters that the fonts have."""
    paths = [font_manager.findfont(name) for name in fonts()]
    return {point for path in paths for point in font_manager.get_font(path).get_charmap()}


def shown(text: str, length: int = 40) -> str:
    """Text of a table as one short line, in which matplotlib finds no formula.

    A character that no font has is written as in Python, such as ``\\u5e74``: names that have
    nothing else would look alike.
    """
    characters = one_line(text)
    line = "".join(c if ord(c) in _drawable() else ascii(c)[1:-1] for c in characters)
    line = line if len(line) <= length else f"{line[: length - 3]}..."
    return line.replace("$", r"\$")


def width(text: str) -> int:
    """The width of a text in characters, of which those of East Asia take the place of two."""
    return len(text) + sum(unicodedata.east_asian_width(c) in "WF" for c in text)
