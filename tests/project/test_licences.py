"""The page of licences lists what is installed."""

import re
from importlib.metadata import version

import pytest

from benchmarks import licences

PAGE = licences.PAGE.read_text()
LOCK = (licences.PROJECT / "requirements.txt").read_text()
HERE, ELSEWHERE = licences.pinned()


@pytest.mark.parametrize("name", [line.name for line in HERE])
def test_the_page_has_the_version_and_licence_that_the_metadata_states(name):
    """If this fails after a change of requirements.txt, run python -m benchmarks.licences."""
    pins = re.findall(rf"^{name}==(\S+)", LOCK, re.M)
    if len(pins) > 1 and f"| {name} | {version(name)} |" not in PAGE:
        pytest.skip(f"{name} has another version for the Python that the page was written with")
    assert licences.line_of(name) in PAGE
    assert "not stated" not in licences.line_of(name)


def test_the_page_lists_exactly_the_pinned_packages():
    """Packages of other systems are named below the table."""
    rows, _, below = PAGE.partition("\nOnly on other systems")
    listed = {*re.findall(r"^\| (\S+) \| \d", rows, re.M)}
    below = {*re.findall(r"(\S+) ==", below)}
    assert listed | below == {line.name for line in HERE + ELSEWHERE}
    assert not listed & below
