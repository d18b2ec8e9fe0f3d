"""Promotion: every case against a real registry, the aliases looked at after each."""

import re
import sys
from dataclasses import replace

import mlflow
import numpy as np
import pytest
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema

import promote
from tabular.data import census, sources, synthetic
from tabular.data.census import CENSUS
from tabular.errors import UserError, WorkFailed
from tabular.model import boosting
from tabular.model.hyperparameters import DEFAULTS
from tabular.tracking import logged_model, registry, runs
from tests.servers import free_port, running

NAME = "it's income"
FLOORS = {"accuracy": 0.7, "roc_auc": 0.6, "log_loss": 0.5}  # of few rows and small trees
# candidate, options, checks that fail, and the candidates that are champion and previous afterwards
CASES = [
    ("hopeless", {}, {"log_loss"}, (None, None)),
    ("synthetic", {}, {"real_rows"}, (None, None)),
    ("first", {}, set(), ("first", None)),
    ("equal", {}, {"improvement"}, ("first", None)),
    ("worse", {}, {"improvement"}, ("first", None)),
    ("unfair", {}, {"group_drop"}, ("first", None)),
    ("incompatible", {}, {"signature"}, ("first", None)),
    ("other rows", {}, {"champion_data"}, ("first", None)),
    ("synthetic", {}, {"real_rows", "champion_data"}, ("first", None)),
    ("better", {"min_improvement": 0.5}, {"improvement"}, ("first", None)),
    ("better", {}, set(), ("better", "first")),
    ("first", {}, {"improvement"}, ("better", "first")),
    ("unfair", {"min_improvement": -1, "max_group_drop": 1}, set(), ("unfair", "better")),
    (None, {"rollback": "true"}, set(), ("better", None)),
    ("equal", {"metric": "accuracy"}, {"improvement"}, ("better", None)),
]


@pytest.fixture
def real_rows(synthetic_folder, tmp_path):
    """Rows that the user vouches for: without the marker."""
    for name in census.DIGESTS:
        text = (synthetic_folder / name).read_text().removeprefix(f"{synthetic.MARKER}\n")
        (tmp_path / name).write_text(text)
    return sources.load(str(tmp_path))


@pytest.fixture(params=["sqlite", pytest.param("server", marks=pytest.mark.slow)])
def store(request, tmp_path, monkeypatch):
    if request.param == "sqlite":
        yield
        return
    port, uri = free_port(), f"sqlite:///{tmp_path}/server.db"
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", uri, "--artifacts-destination", str(tmp_path / "artifacts")]
    with running(command, port, tmp_path / "server.log", "/health"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        yield


def candidate(rows, digest=None, flipped=False, signature=None, threshold=0.5, **config):
    """The address of a model as ``train.py`` logs it, the plots left out."""
    y = rows.train.y
    if flipped:  # it learns that the old are the other way round
        y = np.where(rows.train.X["age"] >= 65, 1 - y, y)
    config = DEFAULTS | {"max_depth": 6} | config
    booster, _ = boosting.fit(config, boosting.bin_rows(rows.train.X, y))
    boosting.set_labels(booster, CENSUS)
    with runs.start_run("a candidate") as run:
        runs.log_setup(run, {}, rows, "cpu", {"data.digest": digest or rows.digest})
        info = logged_model.log_model(
            booster, logged_model.to_client_frame(rows.test.X.head(3)), {}, CENSUS, threshold
        )
        if signature:
            mlflow.models.set_signature(info.model_uri, signature)
    return f"runs:/{run.info.run_id}/model"


@pytest.fixture
def candidates(store, real_rows, synthetic_folder, tmp_path):
    wider = Schema([*logged_model.input_columns(CENSUS), ColSpec("string", "address")])
    other = tmp_path / "other"
    other.mkdir()
    (other / census.TEST).write_text((tmp_path / census.TEST).read_text())
    kept = (tmp_path / census.TRAIN).read_text().splitlines(keepends=True)[100:]
    (other / census.TRAIN).write_text("".join(kept))
    return {
        "hopeless": candidate(real_rows, n_estimators=1, learning_rate=0.001),
        "first": candidate(real_rows, n_estimators=8),
        "equal": candidate(real_rows, n_estimators=8),
        "worse": candidate(real_rows, n_estimators=5),
        "better": candidate(real_rows, n_estimators=40, max_depth=3),
        "unfair": candidate(real_rows, n_estimators=40, max_depth=3, flipped=True),
        "incompatible": candidate(
            real_rows,
            signature=ModelSignature(
                wider, logged_model.signature(CENSUS).outputs, logged_model.signature(CENSUS).params
            ),
        ),
        "other rows": candidate(sources.load(str(other)), n_estimators=40, max_depth=3),
        "synthetic": candidate(sources.load(str(synthetic_folder)), n_estimators=40, max_depth=3),
    }


def call(**options):
    options = {"max_group_drop": 0.2} | options  # some groups have 20 rows here
    promote.main([f"--{k}={v}" for k, v in options.items()], standalone_mode=False)


def newest():
    return mlflow.search_runs(max_results=1, output_format="list")[0]


def test_the_aliases_move_when_every_check_passes_and_only_then(candidates, monkeypatch, capsys):
    table = replace(CENSUS, floors=FLOORS)
    monkeypatch.setattr(runs, "recorded_table", lambda run: table)
    compared: dict[str, set] = {}  # by the rows
    for name, options, failing, (champion, previous) in CASES:
        case = f"{name} {options}"
        uri = candidates.get(name, "none")
        versions = len(mlflow.search_model_versions())
        if failing:
            with pytest.raises(WorkFailed, match="refused, nothing is changed: "):
                call(model=uri, name=NAME, **options)
            assert len(mlflow.search_model_versions()) == versions, case
        else:
            call(model=uri, name=NAME, **options)
        run = newest()
        assert run.info.status == ("FAILED" if failing else "FINISHED"), case
        for alias, expected in (("champion", champion), ("previous", previous)):
            version = registry.version_by_alias(NAME, alias)
            assert (version and version.run_id) == (
                candidates[expected].split("/")[1] if expected else None
            ), f"{case}: {alias}"
        if not name:
            continue
        verdict = mlflow.load_table("verdict.json", run_ids=[run.info.run_id])
        assert set(verdict["check"][~verdict["passed"]]) == failing, case
        of_rows = compared.setdefault(name if name in ("other rows", "synthetic") else "", set())
        of_rows.add(name)
        assert run.data.tags["candidates_compared"] == str(len(of_rows)), case
        assert run.data.tags["verdict"] == ("refused" if failing else "passed")
        if version := registry.find_version(registry.find_model(uri), NAME):
            version = mlflow.MlflowClient().get_model_version(NAME, version.version)
            assert version.tags["verdict"] == run.data.tags["verdict"], case
            assert version.tags["verdict.run_id"] == run.info.run_id
            assert version.tags["candidates_compared"] == str(len(of_rows))
            assert version.tags["verdict.accuracy"] in version.description
    with pytest.raises(UserError, match="has no version with the alias previous"):
        call(name=NAME, rollback="true")
    with pytest.raises(UserError, match="the champion of it's income"):
        call(model=candidates["better"], name=NAME)


def test_a_champion_that_came_meanwhile_stays(real_rows):
    """Two promotions at a time: the one that compared with an older champion gives way."""
    versions = [registry.register(candidate(real_rows, n_estimators=n), "x") for n in (5, 8, 9)]
    registry.set_champion(versions[0], None)
    registry.set_champion(versions[1], versions[0])
    with pytest.raises(WorkFailed, match="version 2 became champion meanwhile"):
        registry.set_champion(versions[2], versions[0])
    assert registry.version_by_alias("x", "champion").version == versions[1].version
    assert registry.version_by_alias("x", "previous").version == versions[0].version


@pytest.mark.parametrize(("options", "message"), [
    (["--model", "models:/nobody/1"], "model: expected the address of a model that train.py"),
    (["--model", "runs:/0/model"], "model: expected the address of a model that train.py"),
    ([], "model: expected the address of a model, such as runs:/<run id>/model"),
    (["--rollback", "true"], "rollback: census-income has no version with the alias previous"),
    (["--rollback", "perhaps"], "Invalid value for '--rollback'"),
    (["--name", "a/b", "--model", "runs:/0/model"], "name: expected a name without / : @ ? #"),
    (["--max_group_drop", "2"], "Invalid value for '--max_group_drop'"),
])  # fmt: skip
def test_a_slip_is_one_line_and_changes_nothing(run_script, options, message):
    done = run_script(promote.main, *options)
    assert done.returncode == 2
    line = done.stderr.rstrip().splitlines()[-1]
    assert line.startswith(f"error: {message}")
    assert "Traceback" not in done.stderr
    assert not mlflow.search_runs(output_format="list")
    assert not mlflow.search_registered_models()


def test_a_signature_breaks_when_a_client_would_stumble():
    def signature(inputs, outputs="probability"):
        return ModelSignature(
            Schema([ColSpec(kind, name) for name, kind in inputs.items()]),
            Schema([ColSpec("double", outputs)]),
        )

    old = signature({"age": "double", "sex": "string"})
    assert registry.incompatibilities(old, old) == []
    assert registry.incompatibilities(signature({"age": "double"}), old) == []
    assert registry.incompatibilities(signature({"age": "double", "pay": "double"}), old) == [
        "input pay is new"
    ]
    assert registry.incompatibilities(signature({"age": "string"}), old) == [
        "input age was DataType.double, is DataType.string"
    ]
    assert registry.incompatibilities(signature({"age": "double"}, "score"), old) == [
        "output probability is missing"
    ]
    assert (
        registry.incompatibilities(old, logged_model.signature(CENSUS))[-1]
        == "parameter threshold is missing"
    )


def test_another_threshold_is_reported_and_refuses_nothing(real_rows, monkeypatch, capsys):
    """Metrics are those that a client gets who sends no threshold."""
    monkeypatch.setattr(runs, "recorded_table", lambda run: replace(CENSUS, floors=FLOORS))
    call(model=candidate(real_rows, n_estimators=8), name=NAME)
    better = {"n_estimators": 40, "max_depth": 3}
    with pytest.raises(WorkFailed, match="nothing is changed: accuracy, group_drop"):
        call(model=candidate(real_rows, threshold=0.1, **better), name=NAME)
    capsys.readouterr()
    call(model=candidate(real_rows, threshold=0.4, **better), name=NAME)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if " threshold: " in line]
    assert re.fullmatch(
        r"passed threshold: was 0.5 \([\d.]+% of the rows positive\), "
        r"is 0.4 \([\d.]+% of the rows positive\) \(reported only\)",
        line,
    )
    assert "| threshold | was 0.5" in newest().data.tags[runs.DESCRIPTION]


@pytest.mark.parametrize("name", ["", " ", ".", "a/b", "a:b", "a@b", "a?b", "a#b", "a\nb", "\x1b"])
def test_a_name_that_no_address_can_hold_is_refused(name):
    """MLflow would register it, and then not find models:/<name>/1."""
    with pytest.raises(UserError, match="name: expected a name without"):
        registry.require_name("name", name)


@pytest.mark.parametrize("address", [
    "http://[", "http://127.0.0.1:9/x", "sftp://127.0.0.1/x", "x://y", "models:/a@b/1", "runs:/",
])  # fmt: skip
def test_an_address_of_no_model_is_an_error_in_plain_words(address):
    """Whatever the library for such an address raises, or that there is none."""
    with pytest.raises(UserError, match="model: expected the address of a model that train.py"):
        registry.find_model(address)
