"""The requirements files: complete, pinned with hashes, and free of host names."""

import ast
import re
import shlex
import sys
from importlib.metadata import packages_distributions, requires, version

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tabular.tracking import logged_model
from tests.helpers import PROJECT


def pinned(name):
    """The versions that a compiled file installs on this platform, by package."""
    lines = re.findall(r"^\w[^\\\n]*", (PROJECT / name).read_text(), re.M)
    found = [line for line in map(Requirement, lines) if not line.marker or line.marker.evaluate()]
    return {line.name: str(line.specifier).removeprefix("==") for line in found}


def direct(name):
    """The direct requirements of an `.in` file and of the files it includes."""
    for line in (PROJECT / name).read_text().splitlines():
        if line.startswith("-r "):
            yield from direct(line.removeprefix("-r "))
        elif re.match(r"\w", line):
            requirement = Requirement(line.partition(" #")[0])
            if not requirement.marker or requirement.marker.evaluate():
                yield requirement


OLD_PYTHON = """
import sys, collections
sys.version_info = collections.namedtuple("version_info", "major minor micro")(3, 10, 13)
import train
"""


def test_an_older_python_is_refused_in_one_line(run_command):
    """Without the packages installed, `pip` refuses the requirements before."""
    done = run_command(sys.executable, "-c", OLD_PYTHON, cwd=PROJECT)
    assert done.returncode == 2
    assert re.fullmatch("error: Python 3.11 or later is needed, found .*\n", done.stderr)


def test_the_python_version_is_exact_and_a_string():
    """With virtualenv, a prefix makes pyenv build the newest one; an unquoted 3.11 is a float."""
    environment = yaml.safe_load((PROJECT / "python_env.yaml").read_text())
    assert re.fullmatch(r"3\.11\.\d+", environment["python"])
    assert environment["dependencies"] == ["-r requirements.txt"]


FILES = ["requirements.txt", "requirements-gpu.txt", "requirements-dev.txt"]


@pytest.mark.parametrize("name", FILES)
def test_every_requirement_is_pinned_with_hashes_and_no_host_is_named(name):
    text = (PROJECT / name).read_text()
    requirements = re.findall(r"^[a-z].*?(?=^[a-z]|\Z)", text, re.M | re.S)
    assert len(requirements) > 50
    for requirement in requirements:
        assert re.match(r"[\w.-]+(\[[\w,]+\])?==\S+", requirement)
        assert "--hash=sha256:" in requirement
    assert not re.search(r"^-|https?://|file:", text, re.M)  # no options, so no index


def test_both_requirement_files_pin_the_same_versions():
    of_runs, of_development = (
        set(re.findall(r"^\S+==\S+", (PROJECT / name).read_text(), re.M))
        for name in ("requirements.txt", "requirements-dev.txt")
    )
    assert of_runs < of_development


def test_the_requirements_for_a_gpu_differ_in_xgboost_alone():
    light, gpu = pinned("requirements.txt"), pinned("requirements-gpu.txt")
    build = "xgboost" if sys.platform == "darwin" else "xgboost-cpu"
    assert gpu["xgboost"] == light[build]
    only_there = {*gpu} - {*light} - {"xgboost"}
    assert all(name.startswith("nvidia-") for name in only_there)
    shared = {*light} - {build}
    assert {name: gpu[name] for name in shared} == {name: light[name] for name in shared}


def test_the_default_requirements_contain_no_gpu_library():
    text = (PROJECT / "requirements.txt").read_text()
    assert not re.search(r"^(nvidia|cuda)", text, re.M)
    assert re.findall(r"^xgboost\S* ; .*?(?= \\)", text, re.M) == [
        "xgboost==3.2.0 ; sys_platform == 'darwin'",
        "xgboost-cpu==3.2.0 ; sys_platform != 'darwin'",
    ]


@pytest.mark.parametrize("name", ["requirements", "requirements-dev"])
def test_exactly_the_direct_and_indirect_requirements_are_pinned(name):
    """The installed packages' metadata leads from the direct names to the indirect ones."""
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


def test_every_third_party_module_that_the_product_imports_is_a_direct_requirement():
    """An indirect requirement may disappear with the next version of whatever requires it."""
    names = [
        name
        for requirement in direct("requirements.in")
        for name in (requirement.name, *requirement.extras)  # dask[distributed] names two
    ]
    wanted = {*map(canonicalize_name, names)}
    distributions, missing = packages_distributions(), set()
    for path in [*PROJECT.glob("*.py"), *PROJECT.glob("tabular/**/*.py")]:
        for module in imported(path):
            packages = {*map(canonicalize_name, distributions.get(module, []))}
            if packages and not packages & wanted:
                missing.add(f"{path.relative_to(PROJECT)} imports {module}")
    assert not missing


def imported(path):
    """The top-level modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.split(".")[0]


def test_the_logged_model_requires_pinned_versions():
    needed = [Requirement(line) for line in logged_model.requirements()]
    for line in needed:
        if not line.marker or line.marker.evaluate():
            assert pinned("requirements.txt")[line.name] == str(line.specifier)[2:]


PAGES = [PROJECT / "README.md", PROJECT / ".ci" / "run"]
PAGES += sorted([*PROJECT.glob("docs/*.md"), *PROJECT.glob("deploy/*")])


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_command_that_installs_names_a_pinned_version(path):
    versions = pinned("requirements-dev.txt")
    for text in re.findall(r"pip install ([^&|;`\n]*)", path.read_text()):
        arguments = shlex.split(text)
        for previous, argument in zip(["", *arguments], arguments, strict=False):
            if previous == "-r":
                assert argument in FILES
            elif not argument.startswith("-"):
                requirement = Requirement(argument)
                specifier = str(requirement.specifier)
                assert specifier == f"=={versions.get(requirement.name, specifier[2:])}", argument
