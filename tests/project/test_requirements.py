"""What a run installs: all of it pinned, and named nowhere but by name."""

import re
import shlex
from importlib.metadata import requires, version

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tabular.tracking import runs
from tests.helpers import PROJECT


def pinned(name):
    """Versions that a compiled file installs here, by package."""
    lines = re.findall(r"^\w[^\\\n]*", (PROJECT / name).read_text(), re.M)
    found = [line for line in map(Requirement, lines) if not line.marker or line.marker.evaluate()]
    return {line.name: str(line.specifier).removeprefix("==") for line in found}


def direct(name):
    """What a file of direct names asks for, with those of the files that it includes."""
    for line in (PROJECT / name).read_text().splitlines():
        if line.startswith("-r "):
            yield from direct(line.removeprefix("-r "))
        elif re.match(r"\w", line):
            yield Requirement(line.partition(" #")[0])


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


@pytest.mark.parametrize("name", ["requirements", "requirements-dev"])
def test_whatever_an_installed_package_requires_is_pinned(name):
    """From the direct names on, by the installed metadata; and nothing else is pinned."""
    versions, seen, queue = pinned(f"{name}.txt"), set(), [*direct(f"{name}.in")]
    while queue:
        wanted = queue.pop()
        package = canonicalize_name(wanted.name)
        assert package in versions, f"{wanted} is not pinned"
        assert wanted.specifier.contains(versions[package], prereleases=True), str(wanted)
        for extra in {"", *wanted.extras}:
            if (package, extra) not in seen:
                seen.add((package, extra))
                needed = [Requirement(line) for line in requires(package) or []]
                queue += [r for r in needed if not r.marker or r.marker.evaluate({"extra": extra})]
    assert {package for package, _ in seen} == {*versions}
    assert {package: version(package) for package in versions} == versions


def test_the_logged_model_requires_what_is_pinned():
    assert {*runs.REQUIREMENTS} <= {*pinned("requirements.txt")}


TEXTS = [PROJECT / "README.md", PROJECT / ".ci" / "run"]
TEXTS += sorted([*PROJECT.glob("docs/*.md"), *PROJECT.glob("deploy/*")])


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_every_command_that_installs_names_a_pinned_version(path):
    versions = pinned("requirements-dev.txt")
    for words in re.findall(r"pip install ([^&|;`\n]*)", path.read_text()):
        words = shlex.split(words)
        for before, word in zip(["", *words], words, strict=False):
            if before == "-r":
                assert word in ("requirements.txt", "requirements-dev.txt")
            elif not word.startswith("-"):
                asked = Requirement(word)
                assert str(asked.specifier) == f"=={versions[asked.name]}", word
