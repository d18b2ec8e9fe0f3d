"""What single names and values look like: an index, a number, a code, a date, a truth value."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tabular.data.columns import NUMBER

BOOLEANS = {"false": ("false", "False", "FALSE"), "true": ("true", "True", "TRUE")}

CODE = r"^[+-]?0[0-9]"  # a number with a leading zero, such as a postal code

WHOLE = re.compile(r"(-?[0-9]+)(\.0+)?")
UNNAMED = re.compile(r"(Unnamed: [0-9]+(\.[0-9]+)*|__index_level_[0-9]+__)?")

DECIMAL_COMMA = r"^[+-]?[0-9]*,[0-9]+([eE][+-]?[0-9]+)?$"
_GROUPS = (  # 1,234,567.8 (12,34,567 in India), 1.234.567,8, and with spaces or apostrophes
    r"(,[0-9]{2,3})*,[0-9]{3}(\.[0-9]*)?",
    r"(\.[0-9]{3})+(,[0-9]*)?",
    *(f"({mark}[0-9]{{3}})+([.,][0-9]*)?" for mark in (" ", "\u00a0", "\u202f", "'", "\u2019")),
)
THOUSANDS = rf"^[+-]?[1-9][0-9]{{0,2}}({'|'.join(_GROUPS)})$"

_DAY, _MONTH, _YEAR = "(0?[1-9]|[12][0-9]|3[01])", "(0?[1-9]|1[0-2])", "([0-9]{4}|[0-9]{2})"
_DATES = (
    rf"[0-9]{{4}}[-/]{_MONTH}[-/]{_DAY}",
    rf"{_DAY}[-/.]{_MONTH}[-/.]{_YEAR}",
    rf"{_MONTH}/{_DAY}/{_YEAR}",
)
_TIME = r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?( ?[AaPp][Mm])?"
_ZONE = r" ?(Z|UTC|[+-][0-9]{2}:?[0-9]{2})"
DATE = rf"^({'|'.join(_DATES)})([T ]{_TIME}({_ZONE})?)?$"

ID_WORDS = {"id", "ids", "uuid", "guid", "identifier", "rowid", "rownum", "rownumber"}
ID_NAMES = {"index", "idx", "row index", "row number", "row num", "row no", "row nr", "row"}
LABEL_NAMES = {  # usual names of the column to predict, in lower case
    *("label", "labels", "target", "class", "y", "outcome", "response", "result", "churn"),
    *("churned", "exited", "attrition", "default", "survived", "fraud", "is_fraud", "converted"),
    *("diagnosis", "deposit", "purchased", "subscribed"),
}


def is_unnamed(name: str) -> bool:
    """Whether a column has no name, or that of an index which pandas has written."""
    return UNNAMED.fullmatch(name.strip()) is not None


def looks_like_id(name: str) -> bool:
    """Whether a column's name is that of an id or of a row's number: customer_id, PassengerId."""
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[^\W\d_][^\W\d_A-Z]*", name)]
    return bool(words) and (
        " ".join(words) in ID_NAMES or not ID_WORDS.isdisjoint((words[0], words[-1]))
    )


def spellings(label: str) -> tuple[str, ...]:
    """The texts that stand for the same label; the first is the one for all of them."""
    for texts in BOOLEANS.values():
        if label in texts:
            return texts
    whole = WHOLE.fullmatch(label)
    return (whole[1], f"{whole[1]}.0") if whole else (label,)


def strip_missing(column: pa.Array | pa.ChunkedArray, missing: tuple[str, ...]) -> pa.Array:
    """Text without the spaces around it, null where it stands for a missing value."""
    text = pc.utf8_trim_whitespace(column.cast(pa.large_string()))
    return pc.if_else(pc.is_in(text, pa.array(missing, pa.large_string())), None, text)


def matches(texts: pa.Array, pattern: str) -> np.ndarray:
    """Whether each text matches a regular expression: (n_samples,), bool; no text may be null."""
    return pc.match_substring_regex(texts, pattern).to_numpy(zero_copy_only=False)


def are_numbers(texts: pa.Array) -> np.ndarray:
    """Whether each text is a finite number: (n_samples,), bool; no text may be null."""
    try:
        if np.isfinite(texts.cast(pa.float64()).to_numpy(zero_copy_only=False)).all():
            return np.ones(len(texts), bool)  # much faster than the regular expression
    except pa.ArrowInvalid:
        pass
    return matches(texts, NUMBER)
