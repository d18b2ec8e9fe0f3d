"""The module of the built-in table, which alone names its columns."""

import ast
import re

import pytest

from tabular.data.census import CENSUS
from tests.helpers import PROJECT


def test_columns_are_those_of_uci_in_the_order_of_the_files():
    """Source: the attribute list of adult.names."""
    numeric = ["age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week"]
    text = (
        "age workclass fnlwgt education education-num marital-status occupation relationship race "
        "sex capital-gain capital-loss hours-per-week native-country"
    )
    assert " ".join(CENSUS.features) == text
    assert sorted(CENSUS.numeric) == sorted(numeric)
    assert set(CENSUS.numeric) | set(CENSUS.categorical) == set(CENSUS.features)


SOURCES = [
    path for pattern in ("*.py", "tabular/**/*.py", "data/*.py") for path in PROJECT.glob(pattern)
]


@pytest.mark.parametrize(
    "path", [p for p in SOURCES if p.name != "census.py"], ids=lambda p: p.name
)
def test_no_other_module_names_a_column(path):
    """To use another table, one module is changed."""
    names = {*CENSUS.features, CENSUS.negative, CENSUS.positive}
    texts = {
        node.value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant)
    }
    texts = {text for text in texts if isinstance(text, str)}
    assert not names & texts
    assert not [text for text in texts if re.search(r"(?<!census-)\bincome\b|50K", text)]
