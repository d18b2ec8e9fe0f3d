"""Comparisons: two models of one table on the same test rows, from the command line."""

import io
import re
from dataclasses import replace
from types import SimpleNamespace

import mlflow
import numpy as np
import pandas as pd
import pytest

import compare
from tabular import comparison
from tabular.data import census, sources
from tabular.data.census import CENSUS
from tabular.data.requests import TableRequest
from tabular.evaluation import paired
from tabular.model import boosting
from tabular.model.hyperparameters import DEFAULTS
from tabular.model.served import Encoder
from tabular.sweep import child_runs
from tabular.tracking import logged_model, registry, runs
from tests.helpers import artifacts
from tests.tables import churn

PLOTS = {"curves", "differences", "groups_differences", "probabilities"}
FILES = {"comparison.csv", "groups_comparison.csv", "disagreements.csv", "differences.csv"}


def log_model(dataset, typed=None, threshold=0.5, **config):
    """A run with a model as ``train.py`` logs it, the plots left out: its id and predictions."""
    typed = typed or {name: str(value) for name, value in config.items()}
    config = DEFAULTS | {"n_estimators": 8} | config
    booster, _ = boosting.fit(config, boosting.bin_rows(dataset.train.X, dataset.train.y))
    boosting.set_labels(booster, dataset.table)
    with runs.start_run("a model") as run:
        runs.log_setup(run, typed, dataset, "cpu")
        examples = logged_model.to_client_frame(dataset.test.X.head(3))
        params = {name: str(value) for name, value in config.items()}
        logged_model.log_model(booster, examples, params, dataset.table, threshold)
    return run.info.run_id, booster.inplace_predict(Encoder(booster)(dataset.test.X))


@pytest.fixture
def people(synthetic_folder):
    return sources.load(str(synthetic_folder))


@pytest.fixture
def compared(run_script):
    """A function that compares two models: the newest run, and what was printed."""

    def run(a, b):
        done = run_script(compare.main, "--a", a, "--b", b)
        assert done.returncode == 0, done.stderr
        return mlflow.search_runs(max_results=1, output_format="list")[0], done.stdout

    return run


def table(run, name):
    text = mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/{name}")
    return pd.read_csv(io.StringIO(text), keep_default_na=False)


def test_a_comparison_records_differences_plots_tables_and_what_was_compared(people, compared):
    (a, of_a) = log_model(people, n_estimators=8)
    (b, of_b) = log_model(people, max_depth=6, n_estimators=40)
    run, printed = compared(a, f"runs:/{b}/model")
    assert run.info.status == "FINISHED"
    assert run.data.params == {"a": a, "b": f"runs:/{b}/model"}
    expected = paired.metric_differences(people.test.y, of_a, of_b)
    for row in expected.itertuples():
        found = [run.data.metrics[f"difference/{row.metric}{end}"] for end in ("", "_low", "_high")]
        assert found == [row.difference, row.low, row.high]
        assert f"       {row.metric} " in printed
    assert run.data.metrics["labels_differ"] == ((of_a >= 0.5) != (of_b >= 0.5)).sum()
    assert artifacts(run) == FILES | {"plots"} | {f"plots/{name}.png" for name in PLOTS}
    tags = run.data.tags
    assert (tags["compare.a_run_id"], tags["compare.b_run_id"]) == (a, b)
    assert registry.find_model(tags["compare.b"]).run_id == b
    assert tags["data.digest"] == people.digest
    assert f"found  {tags['compare.finding']}\n" in printed
    assert tags["compare.finding"].startswith("b has a ")
    assert tags["compare.finding"] in tags[runs.DESCRIPTION]
    assert tags["mlflow.runName"] == "compare a model a model"
    assert table(run, "comparison.csv")["b_is"].tolist() == expected["b_is"].tolist()
    differing = table(run, "differences.csv").set_index("name")
    assert differing.loc["n_estimators", ["a", "b"]].astype(str).tolist() == ["8", "40"]


def test_each_model_is_compared_at_its_own_threshold(people, compared):
    (a, probability), (b, _) = log_model(people), log_model(people, threshold=0.3)
    run, printed = compared(a, b)
    differing = (probability >= 0.3) & (probability < 0.5)
    expected = f"labels {differing.sum():,} of 2,000 differ at threshold 0.5 of a and 0.3 of b: b"
    assert expected in printed
    found = table(run, "comparison.csv").set_index("metric")
    assert found.loc["roc_auc", "difference"] == 0
    correct = (probability >= 0.3) == people.test.y
    assert found.loc["accuracy", "b"] == pytest.approx(correct.mean())
    assert "predict the same probability for every row" not in run.data.tags["compare.finding"]
    assert table(run, "differences.csv").set_index("name").loc["threshold", "b"] == 0.3
    by_group = table(run, "groups_comparison.csv").query("feature == 'sex'")
    selected = by_group["selection_rate_b"].astype(float) @ by_group["rows"]
    assert selected == pytest.approx((probability >= 0.3).sum())
    assert (table(run, "disagreements.csv")["label_b"] == CENSUS.positive).all()


def test_the_rows_that_the_models_disagree_on_are_listed_the_most_extreme_first(people, compared):
    (a, of_a), (b, of_b) = log_model(people), log_model(people, max_depth=6, n_estimators=40)
    found = table(compared(a, b)[0], "disagreements.csv")
    assert 0 < len(found) <= 100
    assert (found["label_a"] != found["label_b"]).all()
    assert found["difference"].abs().is_monotonic_decreasing
    rows = found["row"].to_numpy()
    assert np.allclose(found["probability_a"], of_a[rows])
    assert np.allclose(found["probability_b"], of_b[rows])
    assert found["age"].tolist() == people.test.X["age"].iloc[rows].tolist()
    assert (found["true_income"] == CENSUS.positive).tolist() == people.test.y[rows].tolist()


def test_a_model_is_equal_to_itself_however_it_is_addressed(people, compared):
    run_id, _ = log_model(people)
    registry.register(f"runs:/{run_id}/model", "people")
    mlflow.MlflowClient().set_registered_model_alias("people", "one", 1)
    own = registry.find_model(f"runs:/{run_id}/model").uri
    for address in (own, "models:/people/1", "models:/people@one"):
        run, printed = compared(run_id, address)
        assert "found  a and b predict the same probability for every row\n" in printed
        assert "labels the same for all 2,000 rows\n" in printed
        assert {*run.data.metrics.values()} == {0}
        assert table(run, "disagreements.csv").empty
        assert table(run, "differences.csv").empty
    versions = mlflow.MlflowClient().search_model_versions()
    assert [(v.version, v.aliases, v.tags) for v in versions] == [(versions[0].version, [], {})]


def test_models_of_other_features_of_the_same_rows_are_compared(people, synthetic_folder, compared):
    fewer = sources.load(str(synthetic_folder), TableRequest(drop=("age", "sex")))
    (a, of_a), (b, of_b) = log_model(fewer), log_model(people)
    run, _ = compared(a, b)
    assert run.data.metrics["difference/log_loss"] == pytest.approx(
        paired.metric_differences(people.test.y, of_a, of_b)["difference"][0]
    )
    differing = table(run, "differences.csv")
    columns = differing[differing["kind"] == "column"].set_index("name")
    assert columns["b"].to_dict() == {"age": "numeric", "sex": "categorical"}
    assert {"age", "sex"} < {*table(run, "disagreements.csv")}


def test_models_of_other_training_rows_and_the_same_test_rows_are_compared(
    people, synthetic_folder, tmp_path, compared
):
    for name in census.DIGESTS:
        lines = (synthetic_folder / name).read_text().splitlines(keepends=True)
        (tmp_path / name).write_text("".join(lines[: 2000 if name == census.TRAIN else None]))
    a, _ = log_model(sources.load(str(tmp_path)))
    b, _ = log_model(people)
    run, _ = compared(a, b)
    differing = table(run, "differences.csv")
    assert "data.digest" in differing["name"].tolist()


def refuse(run_script, a, b, message):
    n_runs = len(mlflow.search_runs())
    done = run_script(compare.main, "--a", a, "--b", b)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert len(mlflow.search_runs()) == n_runs


def test_models_without_common_test_rows_are_refused_before_a_run(people, tmp_path, run_script):
    customers = tmp_path / "customers.csv"
    churn(500).to_csv(customers, index=False)
    of_people, _ = log_model(people)
    a, _ = log_model(sources.load(str(customers), TableRequest(label="Churn")))
    swapped, _ = log_model(sources.load(str(customers), TableRequest(label="Churn", positive="No")))
    for b, message in (
        (of_people, "label 'Churn' and 'income'; positive 'Yes' and '>50K'; data.digest '"),
        (of_people, "columns that the other does not have 'senior, tenure, "),
        (swapped, "got for a and b: positive 'Yes' and 'No'\n"),
        ("0" * 32, "b: expected the address of a model that train.py or sweep.py logged, got 'ru"),
    ):
        refuse(run_script, a, b, message)
    churn(600).to_csv(customers, index=False)
    refuse(run_script, a, a, "a: expected the rows with digest ")


def test_models_whose_tables_read_other_labels_from_the_same_files_are_refused(
    people, run_script, monkeypatch
):
    a, _ = log_model(people)
    b, _ = log_model(replace(people, table=replace(CENSUS, missing=("?",))))
    load = sources.reload

    def reload(tags, table):
        found = load(tags, table)
        y = found.test.y[1:] if table.missing == ("?",) else found.test.y
        return replace(found, test=replace(found.test, y=y))

    monkeypatch.setattr(sources, "reload", reload)
    refuse(run_script, a, b, "got 1,999 rows, not 2,000, or other labels")


def test_a_sweep_is_compared_by_the_configuration_that_it_chose(people, compared, run_script):
    child, _ = log_model(people, max_depth=4)
    swept, _ = log_model(people, {"max_depth": "3,4"}, max_depth=4)
    client = mlflow.MlflowClient()
    client.set_tag(swept, child_runs.BEST, child)
    client.set_tag(child, child_runs.CONFIG, "a digest")
    client.set_tag(child, "mlflow.parentRunId", swept)
    trained, _ = log_model(people, max_depth=5)
    differing = table(compared(swept, trained)[0], "differences.csv").set_index("name")
    assert differing.loc["max_depth", ["a", "b"]].astype(str).tolist() == ["4", "5"]
    refuse(run_script, trained, child, f"b: run {child} is a child run of a sweep, which has no m")


def test_all_hyperparameters_that_differ_are_shown_before_other_settings(people, compared):
    names = ["gamma", "learning_rate", "max_depth", "max_leaves", "reg_alpha", "reg_lambda"]
    a, b = ({"cv": cv, "by": cv} | dict.fromkeys(names, cv) for cv in ("0", "5"))
    of_a, _ = log_model(people, a)
    run, printed = compared(of_a, log_model(people, b)[0])
    assert set(table(run, "differences.csv")["name"][:6]) == set(names)
    (line,) = re.findall("^differ (.*)", printed, re.M)
    shown = [text.split()[0] for text in line.split("; ")]
    assert (set(shown[:-1]), shown[-1]) == (set(names), "2")


def test_names_and_groups_of_any_table_are_shown(tmp_path, compared):
    path = tmp_path / "kunden.csv"
    frame = churn(600).rename(columns={"contract": "Vertrag | <b>", "tenure": "年"})
    frame.loc[::7, "Vertrag | <b>"] = None
    frame.to_csv(path, index=False)
    request = TableRequest(label="Churn", groups=("Vertrag | <b>",))
    dataset = sources.load(str(path), request)
    (a, _), (b, _) = log_model(dataset), log_model(dataset, max_depth=6)
    run, printed = compared(a, b)
    assert "groups accuracy of b is better in " in printed
    assert table(run, "groups_comparison.csv")["group"].tolist()[-1] == "two years"
    assert "Vertrag &#124; &#60;b&#62;" not in printed
    assert "年" in table(run, "disagreements.csv").columns


def test_neither_the_quotes_of_a_shell_nor_the_address_of_the_data_are_compared():
    params = {
        "label": "'Gek\u00fcndigt'",
        "positive": "it's",
        "drop": "'a, b",
        "data": "../rows.csv",
    }
    found = comparison._params(SimpleNamespace(data=SimpleNamespace(tags={}, params=params)))
    assert found == {"label": "Gek\u00fcndigt", "positive": "it's", "drop": "'a, b"}
