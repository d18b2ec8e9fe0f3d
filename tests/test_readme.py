"""The README says what is so."""

import re

import promote
import sweep
import train
from census import hyperparameters
from tests.conftest import PROJECT

README = (PROJECT / "README.md").read_text()
COMMANDS = re.findall(r"```sh\n(.*?)```", README, re.S)


def test_ci_calls_the_test_command_of_the_readme():
    (command,) = (c for c in COMMANDS if c.rstrip().endswith("pytest"))
    assert command in (PROJECT / ".ci" / "run").read_text()


def test_both_commands_install_the_pinned_uv():
    pinned = re.search(r"^uv==\S+", (PROJECT / "requirements-dev.txt").read_text(), re.M)[0]
    assert set(re.findall(r"uv==[\d.]+", README)) == {pinned}


def test_the_table_of_parameters_is_complete_and_has_the_defaults():
    documented = {}
    for names, defaults in re.findall(r"^\| (`\w+`.*?) \| (.*?) \|", README, re.M):
        names, defaults = re.findall(r"`(\w+)`", names), defaults.split(", ")
        documented |= dict(zip(names, defaults * (len(names) // len(defaults)), strict=True))
    for name, default in hyperparameters.DEFAULTS.items():
        assert documented[name] == str(default), name
    for command in (train.main, sweep.main, promote.main):
        for option in command.params:
            if option.name not in hyperparameters.DEFAULTS:
                assert documented[option.name] == str(option.default), option.name


def test_the_tree_lists_every_file_that_a_reader_opens():
    tree = README.split("## The tree")[1]
    for path in [*PROJECT.glob("*.py"), *PROJECT.glob("census/*.py")]:
        if path.name != "__init__.py":
            assert re.search(rf"^ *{re.escape(path.name)} ", tree, re.M), path.name
