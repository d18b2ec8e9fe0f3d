"""The README and the other pages state what is true."""

import re

import pytest

import compare
import promote
import score
import sweep
import train
from tabular.model import hyperparameters
from tests.helpers import PROJECT, README

PAGES = [PROJECT / name for name in ("README.md", "CONTRIBUTING.md", "data/README.md")]
PAGES += sorted((PROJECT / "docs").glob("*.md"))
COMMANDS = re.findall(r"```sh\n(.*?)```", README, re.S)


def test_ci_calls_the_test_command_of_the_readme():
    (command,) = (c for c in COMMANDS if c.rstrip().endswith("pytest"))
    assert command in (PROJECT / ".ci" / "run").read_text()


def test_both_commands_install_the_pinned_uv():
    pinned = re.search(r"^uv==\S+", (PROJECT / "requirements-dev.txt").read_text(), re.M)[0]
    assert set(re.findall(r"uv==[\d.]+", README)) == {pinned}


def test_every_make_target_that_is_named_exists():
    targets = re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.M)
    for page in PAGES:
        for command in re.findall(r"(?:^|`)make ([a-z -]+)", page.read_text(), re.M):
            assert {*command.split()} <= {*targets}, page.name


def documented(section):
    """The defaults in a section's table of parameters, by name."""
    page = (PROJECT / "docs" / "parameters.md").read_text()
    text, found = page.split(f"\n## {section}\n")[1].split("\n## ")[0], {}
    for names, defaults in re.findall(r"^\| (`\w+`.*?) \| (.*?) \|", text, re.M):
        names, defaults = re.findall(r"`(\w+)`", names), defaults.split(", ")
        found |= dict(zip(names, defaults * (len(names) // len(defaults)), strict=True))
    return found


@pytest.mark.parametrize(("section", "command"), [
    ("Train", train.main), ("Sweep", sweep.main), ("Promote", promote.main), ("Score", score.main),
    ("Compare", compare.main),
])  # fmt: skip
def test_the_tables_of_parameters_are_complete_and_have_the_defaults(section, command):
    found = documented("Train") | documented(section)
    for option in command.params:
        default = hyperparameters.DEFAULTS.get(option.name, option.default)
        expected = "required" if option.required else str(default)
        assert found[option.name] == expected, option.name


def test_the_tree_lists_every_file_that_a_reader_opens():
    package = (PROJECT / "docs" / "architecture.md").read_text().split("## The package")[1]
    trees = {"*.py": README.split("## The tree")[1], "tabular/**/*.py": package}
    for pattern, tree in trees.items():
        for path in PROJECT.glob(pattern):
            if path.name != "__init__.py":
                assert re.search(rf"^ *{re.escape(path.name)} ", tree, re.M), path.name


def test_every_file_that_the_page_on_architecture_names_exists():
    page = (PROJECT / "docs" / "architecture.md").read_text()
    for path in re.findall(r"`((?:tabular|tests|docs)/[\w./]+)`", page):
        assert (PROJECT / path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.*)", there.read_text(), re.M)
            anchors = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]
            assert anchor in anchors, target
