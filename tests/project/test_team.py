"""Every entry point works with an SQLite file and a team's server, from a folder and from Git."""

import re
import time
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from tabular.data import census, synthetic
from tests import team
from tests.helpers import PROJECT, RUN
from tests.servers import git_over_http
from tests.tables import churn

pytestmark = [pytest.mark.slow, pytest.mark.postgresql]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with team.server(tmp_path_factory.mktemp("team"), "--allowed-hosts", "127.0.0.1:*") as found:
        yield found


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Synthetic rows without their marker, so that a model of them can be promoted."""
    folder = tmp_path_factory.mktemp("data")
    synthetic.write(folder, 20_000)
    for name in census.DIGESTS:
        text = (folder / name).read_text().removeprefix(f"{synthetic.MARKER}\n")
        (folder / name).write_text(text)
    return folder


def newest_run(experiment):
    client = mlflow.MlflowClient()
    found = client.get_experiment_by_name(experiment).experiment_id
    runs = client.search_runs([found], order_by=["attributes.start_time DESC"])
    return next(run for run in runs if "mlflow.parentRunId" not in run.data.tags)


@pytest.fixture(params=["sqlite", "team"])
def where(request, monkeypatch, server):
    """The store that the commands use by default."""
    if request.param == "team":
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
    return request.param


@pytest.fixture
def caller(run_command, server, project):
    """A function from a source, folder or git, to one that runs an entry point of it."""
    with git_over_http(project.parent, "ada", "a-token") as url:

        def from_source(source, experiment):
            uri, options = str(project), []
            if source == "git":
                uri = url.replace("//", "//ada:a-token@") + "/census-mlflow/.git"
                options = ["-v", "main"]

            def call(entry, **parameters):
                pairs = [word for pair in parameters.items() for word in ("-P", "=".join(pair))]
                name = ["--experiment-name", experiment]
                done = run_command(*RUN, "-e", entry, *name, *options, *pairs, uri)
                assert done.returncode == 0, done.stdout + done.stderr
                run = newest_run(experiment)
                assert run.info.status == "FINISHED"
                assert "a-token" not in str(run.data.tags)
                secret = server.environment["MLFLOW_TRACKING_PASSWORD"]
                assert secret not in str(run.to_dictionary())
                return run

            return call

        yield from_source


@pytest.mark.parametrize("source", ["folder", "git"])
def test_every_entry_point_works_everywhere(caller, tmp_path, data, where, source):
    call = caller(source, f"census-{source}")
    single = call("main", data=str(data), max_depth="2", n_estimators="20")
    sweep = call("sweep", data=str(data), max_depth="4,5", n_estimators="60", learning_rate="0.2")
    model = f"runs:/{sweep.info.run_id}/model"
    scored = call(
        "score", model=model, input=str(data / census.TEST), output=str(tmp_path / "out.csv")
    )
    name = f"census-{where}-{source}"
    call("promote", model=model, name=name)
    again = call("reproduce", run_id=single.info.run_id)
    assert again.data.tags["identical"] == "true"
    accuracy = sweep.data.metrics["accuracy"]
    assert scored.data.metrics["score_accuracy"] == pytest.approx(accuracy)
    assert len(pd.read_csv(tmp_path / "out.csv")) == 10_000
    version = mlflow.MlflowClient().get_model_version_by_alias(name, "champion")
    assert version.run_id == sweep.info.run_id
    if where == "team":
        assert sweep.info.artifact_uri.startswith("mlflow-artifacts:")
        assert not [*tmp_path.rglob("mlruns")]


def test_every_entry_point_works_on_a_table_that_is_only_a_file(caller, tmp_path, where):
    """Nothing is cloned or edited; no parameter of the table is repeated after training."""
    path = tmp_path / "churn.csv"
    churn(4000).to_csv(path, index=False)
    call = caller("git", "churn")
    table = {"data": str(path), "label": "Churn", "groups": "contract"}
    single = call("main", **table, max_depth="2", n_estimators="20")
    grid = call("sweep", **table, max_depth="2,3", n_estimators="20,40", learning_rate="0.2")
    tpe = call("sweep", **table, sampler="tpe", trials="3", max_depth="2..4", n_estimators="20,40")
    model = f"runs:/{grid.info.run_id}/model"
    scored = call("score", model=model, input=str(path), output=str(tmp_path / "out.csv"))
    promoted = call("promote", model=model)
    for run in (single, tpe):
        again = call("reproduce", run_id=run.info.run_id)
        assert again.data.tags["identical"] == "true"
    found = pd.read_csv(tmp_path / "out.csv")
    assert (len(found), scored.data.metrics["rows_labelled"]) == (4000, 4000)
    served = mlflow.pyfunc.load_model(model).predict(pd.read_csv(path))
    assert found["probability"].tolist() == pytest.approx(served["probability"].tolist(), abs=0)
    assert found["Churn"].tolist() == served["Churn"].tolist()
    assert promoted.data.tags["verdict"] == "passed"
    version = mlflow.MlflowClient().get_model_version_by_alias("churn", "champion")
    assert version.run_id == grid.info.run_id


def test_check_finds_no_problem_with_a_team_server(run_command, monkeypatch, server, data):
    for name, value in (server.environment | {"MLFLOW_EXPERIMENT_NAME": "checked"}).items():
        monkeypatch.setenv(name, value)
    done = run_command("python", PROJECT / "check.py", "--data", data)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"ok     store: server {server.uri}" in done.stdout
    assert "bytes written, read and deleted in mlflow-artifacts:/" in done.stdout


@pytest.mark.parametrize(("change", "message"), [
    ({"MLFLOW_TRACKING_PASSWORD": "wrong"}, "refuses user and password: set MLFLOW_TRACKING_USER"),
    ({"MLFLOW_EXPERIMENT_NAME": "Default"}, "refuses permission: ask its administrator for EDIT"),
])  # fmt: skip
@pytest.mark.parametrize("script", ["check.py", "train.py"])
def test_a_refusal_is_reported_in_one_line_within_seconds(
    run_command, monkeypatch, server, data, change, message, script
):
    for name, value in (server.environment | change).items():
        monkeypatch.setenv(name, value)
    start = time.perf_counter()
    done = run_command("python", PROJECT / script, "--data", data)
    assert time.perf_counter() - start < 60  # on a busy machine; MLflow would try for minutes
    assert done.returncode == (1 if script == "check.py" else 2)
    assert message in (done.stdout if script == "check.py" else done.stderr)
    assert "Traceback" not in done.stderr
    assert "wrong" not in done.stdout + done.stderr


def test_the_documentation_starts_the_server_that_is_tested():
    """Both have the same options and variables."""
    page = (PROJECT / "docs" / "tracking-server.md").read_text()
    tested = Path(team.__file__).read_text()
    (command,) = re.findall(r"^mlflow server .*$", page, re.M)
    options = {*re.findall(r"--[a-z][\w-]+", command)} - {"--allowed-hosts"}  # given by the tests
    assert options == {*re.findall(r'"(--[a-z][\w-]+)"', tested)} - {"--workers", "--no-sync"}
    for name in re.findall(r'"((?:MLFLOW|AWS)_\w+)"', tested):
        assert f"{name}=" in page, name
    for name in re.findall(r'"(\w+) = ', tested):
        assert f"\n{name} = " in page, name
