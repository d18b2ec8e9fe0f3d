"""The steps of deploy/Dockerfile fit the project; no container runtime is needed."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml

from tests.helpers import PROJECT, README, the_run

TEXT = (PROJECT / "deploy" / "Dockerfile").read_text()
LINES = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", TEXT, flags=re.M)).splitlines()
STEPS = [line.split(" ", 1) for line in LINES if line]
PAGE = (PROJECT / "docs" / "container.md").read_text()


def arguments(name):
    """What stands behind each instruction of this name."""
    return [rest for instruction, rest in STEPS if instruction == name]


COPIED = [line.split() for line in arguments("COPY")]  # sources, then the target
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def entrypoint(app):
    """The image's entry point, with its code in another folder than /app."""
    (line,) = arguments("ENTRYPOINT")
    return json.loads(line.replace("/app/", f"{app}/"))


def environment(commit):
    """The variables that the image sets, built from this commit."""
    (line,) = arguments("ENV")
    values = re.findall(r'(\w+)=("(?:\\.|[^"])*"|\S+)', line)
    return {
        name: (json.loads(value) if value.startswith('"') else value).replace("$COMMIT", commit)
        for name, value in values
    }


@pytest.fixture
def image(tmp_path):
    """A folder of the files that the image has in /app."""
    app = tmp_path / "app"
    for *sources, target in COPIED:
        for path in (path for source in sources for path in PROJECT.glob(source)):
            there = app / target / ("" if path.is_dir() else path.name)
            there.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if path.is_dir() else shutil.copy)(path, there)
    return app


def test_the_context_holds_exactly_what_is_copied():
    lines = (PROJECT / ".dockerignore").read_text().splitlines()
    sources = {source for *sources, _ in COPIED for source in sources}
    assert lines[1] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == sources
    assert all([*PROJECT.glob(source)] for source in sources)


def test_python_and_uv_are_those_of_the_project():
    wanted = yaml.safe_load((PROJECT / "python_env.yaml").read_text())["python"]
    (base,) = arguments("FROM")
    assert re.fullmatch(rf"python:{re.escape(wanted.rpartition('.')[0])}\.\d+-slim-\w+", base)
    assert re.findall(r"uv==[\d.]+", TEXT) == [re.search(r"uv==[\d.]+", README)[0]]


def test_the_user_of_the_image_is_a_number_and_not_root():
    assert int(arguments("USER")[-1]) > 0  # Kubernetes cannot tell whether a name is root


def test_another_command_replaces_the_shell_and_gets_its_arguments(tmp_path):
    command = [
        *entrypoint(tmp_path),
        sys.executable,
        "-c",
        "import os, sys; print(os.getpid(), sys.argv)",
    ]
    process = subprocess.Popen([*command, "a b", "*"], stdout=subprocess.PIPE, text=True)
    assert process.communicate()[0].split(" ", 1) == [str(process.pid), "['-c', 'a b', '*']\n"]


@pytest.mark.slow
def test_the_copied_files_suffice_for_a_run_without_git(image, tmp_path, run_command):
    path = tmp_path / "bin"  # without Git
    path.mkdir()
    (path / "sh").symlink_to(shutil.which("sh"))
    (path / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (path / "python").chmod(0o755)
    done = run_command(
        *entrypoint(image), "train.py", "--data", "synthetic:200", "--n_estimators", 2,
        env=os.environ | environment(COMMIT) | {"PATH": str(path)}, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "git" not in done.stderr
    run = the_run()
    assert run.info.status == "FINISHED"
    assert run.data.tags["mlflow.source.git.commit"] == COMMIT


def test_every_script_that_the_page_names_is_in_the_image(image):
    scripts = {*re.findall(r"\b\w+\.py\b", PAGE)}
    assert scripts
    assert scripts <= {path.name for path in image.iterdir()}
