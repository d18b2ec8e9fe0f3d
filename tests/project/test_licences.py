"""The page of licences says what is installed."""

import re

import pytest

from benchmarks import licences

PAGE = licences.PAGE.read_text()
HERE, ELSEWHERE = licences.pinned()


@pytest.mark.parametrize("name", [line.name for line in HERE])
def test_the_page_has_the_version_and_licence_that_the_metadata_states(name):
    """After a change of requirements.txt: python -m benchmarks.licences."""
    assert licences.line_of(name) in PAGE
    assert "not stated" not in licences.line_of(name)


def test_the_page_lists_everything_and_nothing_else():
    """What other systems install is named below the table."""
    rows, _, below = PAGE.partition("\nOnly on other systems")
    listed = {*re.findall(r"^\| (\S+) \| \d", rows, re.M)}
    below = {*re.findall(r"(\S+) ==", below)}
    assert listed | below == {line.name for line in HERE + ELSEWHERE}
    assert not listed & below
