"""What a run installs: all of it pinned, and named nowhere but by name."""

import re

import pytest
import yaml

from tests.conftest import PROJECT


def test_the_python_version_is_exact_and_a_string():
    """With virtualenv a prefix makes pyenv build the newest one; an unquoted 3.11 is a float."""
    environment = yaml.safe_load((PROJECT / "python_env.yaml").read_text())
    assert re.fullmatch(r"3\.11\.\d+", environment["python"])
    assert environment["dependencies"] == ["-r requirements.txt"]


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_everything_is_pinned_with_hashes_and_names_no_host(name):
    text = (PROJECT / name).read_text()
    requirements = re.findall(r"^[a-z].*?(?=^[a-z]|\Z)", text, re.M | re.S)
    assert len(requirements) > 50
    for requirement in requirements:
        assert re.match(r"[\w.-]+(\[[\w,]+\])?==\S+", requirement)
        assert "--hash=sha256:" in requirement
    assert not re.search(r"^-|https?://|file:", text, re.M)  # no option, of an index or otherwise


def test_both_requirement_files_pin_the_same_versions():
    runs, develops = (
        set(re.findall(r"^\S+==\S+", (PROJECT / name).read_text(), re.M))
        for name in ("requirements.txt", "requirements-dev.txt")
    )
    assert runs < develops
