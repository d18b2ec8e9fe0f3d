"""The workflow for GitHub's machines runs what README.md and Makefile say, with fixed actions."""

import re
import tomllib

import pytest
import yaml

from tests.helpers import PROJECT, README

PATH = PROJECT / ".github" / "workflows" / "test.yml"
WORKFLOW = yaml.load(PATH.read_text(), yaml.BaseLoader)  # values stay text: `on`, 3.11
JOBS = WORKFLOW["jobs"]
SETTINGS = tomllib.loads((PROJECT / "pyproject.toml").read_text())


def steps(key):
    """The values of all steps that have this key."""
    return [step[key] for job in JOBS.values() for step in job["steps"] if key in step]


def test_each_action_is_a_full_commit_with_its_version_beside_it():
    lines = re.findall(r"uses: (.*)", PATH.read_text())
    assert lines
    for line in lines:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)


def test_the_workflow_may_only_read_and_has_no_secrets():
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in JOBS.values())
    assert "secrets" not in PATH.read_text()
    assert "pull_request_target" not in WORKFLOW["on"]


def test_the_oldest_and_the_newest_supported_python_are_tested():
    oldest, newest = re.search(r"Python (3\.\d+) to (3\.\d+)", README).groups()
    assert JOBS["test"]["strategy"]["matrix"]["python"] == [oldest, newest]
    others = {step.get("python-version", oldest) for step in steps("with")}
    assert others == {oldest, f"${{{{ matrix.python || '{oldest}' }}}}"}
    assert SETTINGS["tool"]["mypy"]["python_version"] == oldest


def test_the_tests_are_installed_and_run_as_in_the_readme():
    (version, install, run) = re.search(
        r"pip install -q uv==(\S+) && (uv pip install .*) && \\\n  (pytest)\n", README
    ).groups()
    assert {install, run} <= {step.get("run") for step in JOBS["test"]["steps"]}
    assert {step.get("version", version) for step in steps("with")} == {version}


def test_only_tests_on_other_systems_than_linux_may_fail():
    tolerant = [
        step for job in JOBS.values() for step in job["steps"] if "continue-on-error" in step
    ]
    assert [step["run"] for step in tolerant] == ["pytest"]
    assert tolerant[0]["continue-on-error"] == "${{ runner.os != 'Linux' }}"


def test_every_make_target_of_the_workflow_exists():
    targets = re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.M)
    called = [run.removeprefix("make ").split() for run in steps("run") if run.startswith("make ")]
    assert {target for names in called for target in names} <= {*targets}
    assert ["lint", "types"] in called


@pytest.mark.slow
def test_the_runs_on_generated_rows_succeed(run_command):
    (commands,) = (run for run in steps("run") if "train.py" in run or "mlflow run" in run)
    done = run_command("bash", "-euc", commands, cwd=PROJECT)
    assert done.returncode == 0, done.stderr
