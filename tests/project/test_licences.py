"""The page of licences lists what is installed."""

import re

import pytest

from benchmarks import licences

PAGE = licences.PAGE.read_text()
HERE, ELSEWHERE = licences.pinned()


@pytest.mark.parametrize("name", [line.name for line in HERE])
def test_the_page_has_the_version_and_licence_that_the_metadata_states(name):
    """If this fails after a change of requirements.txt, run python -m benchmarks.licences."""
    assert licences.line_of(name) in PAGE
    assert "not stated" not in licences.line_of(name)


def test_the_page_lists_exactly_the_pinned_packages():
    """Packages of other systems are named below the table."""
    rows, _, below = PAGE.partition("\nOnly on other systems")
    listed = {*re.findall(r"^\| (\S+) \| \d", rows, re.M)}
    below = {*re.findall(r"(\S+) ==", below)}
    assert listed | below == {line.name for line in HERE + ELSEWHERE}
    assert not listed & below
