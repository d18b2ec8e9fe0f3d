"""The files of deploy/ are valid, and their commands run; no cluster is needed."""

import os
import signal
import subprocess
import time

import kubernetes_validate
import pytest
import yaml

from tests.helpers import PROJECT, the_run

SLURM = PROJECT / "deploy" / "slurm.sh"
JOB = yaml.safe_load((PROJECT / "deploy" / "kubernetes.yaml").read_text())
(CONTAINER,) = JOB["spec"]["template"]["spec"]["containers"]


def command(kind, url, **parameters):
    """The command that the cluster would start, and its environment."""
    pairs = [f"{name}={value}" for name, value in parameters.items()]
    environment = os.environ | {"ENV_MANAGER": "local"}
    if kind == "slurm":
        return ["bash", SLURM, url, "main", "main", *pairs], environment
    given = {entry["name"]: entry["value"] for entry in CONTAINER["env"] if "value" in entry}
    environment = given | environment | {
        "PROJECT": url, "ENTRY_POINT": "main", "PARAMETERS": " ".join(f"-P {p}" for p in pairs),
    }  # fmt: skip
    return [*CONTAINER["command"], *CONTAINER["args"]], environment


def test_the_script_and_the_job_are_valid(run_command):
    done = run_command("shellcheck", SLURM)
    assert done.returncode == 0, done.stdout
    inner = "#!/usr/bin/env bash\n# shellcheck disable=SC2086\n" + CONTAINER["args"][0]
    done = run_command("shellcheck", "-", input=inner)
    assert done.returncode == 0, done.stdout
    kubernetes_validate.validate(JOB, "1.31", strict=True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["slurm", "kubernetes"])
def test_the_inner_command_runs_an_entry_point_from_git(run_command, git_url, kind):
    arguments, environment = command(kind, git_url, data="synthetic:500", max_depth="2")
    done = run_command(*arguments, env=environment)
    assert done.returncode == 0, done.stderr
    run = the_run()
    assert run.info.status == "FINISHED"
    assert run.data.params["max_depth"] == "2"
    arguments, environment = command(kind, git_url, max_detph="2")
    assert run_command(*arguments, env=environment).returncode == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["slurm", "kubernetes"])
def test_sigterm_reaches_the_script_and_no_process_remains(git_url, tmp_path, kind):
    trees = {"slurm": "49998", "kubernetes": "49999"}[kind]  # by which its process is found
    arguments, environment = command(kind, git_url, data="synthetic:3000", n_estimators=trees)
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [str(argument) for argument in arguments], env=environment, stdout=log, stderr=log
        )
    try:
        for _ in range(240):
            time.sleep(0.25)
            if "training and" in (tmp_path / "log").read_text():
                break
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) != 0
    finally:
        process.kill()
        process.wait()
    run = the_run()
    assert run.info.status == "FAILED"
    assert run.data.tags["ended_by"] == "SIGINT"
    assert not subprocess.run(["pgrep", "-f", f"train.py.*{trees}"], capture_output=True).stdout


def test_the_script_refuses_to_run_without_a_tracking_server(run_command, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    done = run_command("bash", SLURM, "git://host/project", "main", "main")
    assert done.returncode == 1
    assert "MLFLOW_TRACKING_URI: expected the address of a tracking server" in done.stderr
