"""Text of a table in plots: fonts that have its characters, and names as one short line."""

import re
from collections.abc import Iterable
from functools import cache

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font, LoadFlags

from tabular.errors import one_line

# matplotlib's own font, and fonts of other scripts, where they are installed
_WANTED = (
    *("DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "IPAexGothic", "Microsoft YaHei"),
    *("Yu Gothic", "Malgun Gothic", "PingFang SC", "Hiragino Sans", "Apple SD Gothic Neo"),
    *("Noto Sans Devanagari", "Nirmala UI", "Kohinoor Devanagari", "Noto Emoji"),
)
_LETTER = 0.6  # width of an average letter, as a share of the font size


@cache
def fonts() -> list[str]:
    """The families of the fonts that are installed; each has characters that the others lack."""
    installed = {*font_manager.get_font_names()}
    return [name for name in _WANTED if name in installed]


@cache
def _drawable() -> dict[int, FT2Font]:
    """The font of each character that the fonts have, by code point."""
    found = [font_manager.get_font(font_manager.findfont(name)) for name in fonts()]
    return {point: font for font in reversed(found) for point in font.get_charmap()}


@cache
def _width(character: str) -> float:
    """Width of a drawable character as a share of the font size."""
    font = _drawable()[ord(character)]
    return font.load_char(ord(character), LoadFlags.NO_SCALE).horiAdvance / font.units_per_EM


def inches(texts: Iterable[str], size: float = 10) -> float:
    """Width of the widest of some drawable texts in a font of so many points."""
    return max((sum(map(_width, text)) for text in texts), default=0) * size / 72


def shown(text: str, length: int = 40) -> str:
    """Text of a table as one short line, in which matplotlib finds no formula.

    A character that no font has is written as in Python, such as ``\\u5e74``: names that have
    nothing else would look alike. Of a long text the middle is left out: names that begin alike
    often end differently.

    Args:
        length: of the line, in letters of average width.
    """
    pieces = [c if ord(c) in _drawable() else ascii(c)[1:-1] for c in one_line(text)]
    room = length * _LETTER
    if sum(map(_width, "".join(pieces))) > room:
        start = _fitting(pieces, 0.6 * room)
        end = _fitting(pieces[::-1], 0.4 * room - 3 * _width("."))
        pieces = [*start, "...", *end[::-1]]
    return "".join(pieces).replace("$", r"\$")


def _fitting(pieces: list[str], room: float) -> list[str]:
    """The first of the pieces, as many as fit."""
    found = []
    for piece in pieces:
        room -= sum(map(_width, piece))
        if room < 0:
            break
        found.append(piece)
    return found


def wrapped(text: str, width: float, size: float = 10) -> list[str]:
    """A drawable text as lines of at most so many inches in a font of so many points.

    Only a word that is longer than a line is divided.
    """
    lines = [""]
    for word in text.split(" "):
        joined = f"{lines[-1]} {word}".strip()
        if inches([joined], size) <= width:
            lines[-1] = joined
            continue
        lines.append(word)
        while inches([word], size) > width and len(word) > 2:
            letters = re.findall(r"\\\$|.", word)
            start = "".join(_fitting(letters, width * 72 / size)) or letters[0]
            lines[-1:] = [start, word := word[len(start) :]]
    return lines if lines[0] else lines[1:]
