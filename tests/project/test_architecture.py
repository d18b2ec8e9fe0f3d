"""The package's modules import one another in one direction, at the top of each file."""

import ast
from graphlib import TopologicalSorter

import pytest

from tests.helpers import PROJECT

LAYERS = [  # a module imports from its own layer and from those above it in this list
    {"errors", "cancel", "environment"},
    {"data"},
    {"options"},
    {"model"},
    {"evaluation"},
    {"tracking"},
    {"cluster"},
    {"reporting", "model_card", "training"},
    {"sweep"},
    {"explanation", "drift_report"},
    {
        "scoring",
        "comparison",
        "comparison_report",
        "champions",
        "promotion",
        "reproduction",
        "checks",
    },
    {"cli", "option_types"},
]
RANK = {room: rank for rank, layer in enumerate(LAYERS) for room in layer}
PACKAGE = sorted(PROJECT.glob("tabular/**/*.py"))
SCRIPTS = sorted(PROJECT.glob("*.py"))


def name_of(path):
    """The dotted name of the module in a file: ``tabular.data.census``."""
    parts = path.relative_to(PROJECT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


MODULES = {name_of(path): ast.parse(path.read_text()) for path in [*PACKAGE, *SCRIPTS]}


def imported(tree):
    """The names of the modules that a syntax tree imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in MODULES else node.module for name in full)


def room(name):
    """The part of the package that a module belongs to: ``data`` of ``tabular.data.census``."""
    return name.split(".")[1]


def in_package(names):
    return sorted(name for name in {*names} if name.startswith("tabular."))


@pytest.mark.parametrize("name", in_package(MODULES))
def test_a_module_imports_only_from_its_own_layer_and_those_before_it(name):
    assert room(name) in RANK, f"{name} has no place in LAYERS"
    later = [n for n in in_package(imported(MODULES[name])) if RANK[room(n)] > RANK[room(name)]]
    assert not later, f"{name} imports from a later layer: {later}"


def test_no_modules_import_one_another_in_a_circle():
    graph = {name: in_package(imported(tree)) for name, tree in MODULES.items()}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


# tabular.cli is part of the scripts, which import MLflow once their options are parsed
@pytest.mark.parametrize("name", [name for name in in_package(MODULES) if name != "tabular.cli"])
def test_imports_stand_at_the_top_of_every_module_of_the_package(name):
    functions = (n for n in ast.walk(MODULES[name]) if isinstance(n, ast.FunctionDef))
    postponed = [f"{f.name}: {module}" for f in functions for module in imported(f)]
    assert not postponed, f"{name} imports inside functions: {postponed}"


@pytest.mark.parametrize("name", [name_of(path) for path in SCRIPTS])
def test_no_script_imports_a_script(name):
    scripts = {name_of(path) for path in SCRIPTS}
    assert not scripts & {*imported(MODULES[name])}


def test_only_the_served_model_imports_mlflow_below_tracking():
    users = {
        name
        for name in in_package(MODULES)
        if RANK[room(name)] < RANK["tracking"]
        and any(module.split(".")[0] == "mlflow" for module in imported(MODULES[name]))
    }
    assert users == {"tabular.model.served"}
