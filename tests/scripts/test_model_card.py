"""The model's card: facts only, on the run, in the model's folder and on its version."""

import html

import mlflow
import numpy as np
import pandas as pd
import pytest

import promote
import sweep
import train
from tabular import model_card
from tabular.data import synthetic
from tabular.data.census import DIGESTS
from tabular.errors import shorten_markdown
from tabular.evaluation import fairness, metrics
from tabular.model import boosting
from tabular.model.hyperparameters import DEFAULTS
from tabular.model.served import Encoder
from tabular.tracking import artifacts, logged_model, registry
from tests.helpers import the_run


def card_of(run):
    return mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/{logged_model.CARD}")


def sections(card):
    """The text of each section by its title; that before the first by an empty one."""
    first, *others = f"\n\n{card}".split("\n\n## ")
    return {"": first} | dict(text.split("\n\n", 1) for text in others)


@pytest.fixture(scope="module")
def own_rows(tmp_path_factory):
    """A file of 400 rows of a user, with other names and missing values."""
    rng = np.random.default_rng(0)
    größe = rng.normal(size=400).round(2)
    rows = pd.DataFrame({
        "Größe [m]": größe,
        "städte|": rng.choice(["<b>Köln</b>", "Zürich"], 400),
        "kauf": np.where(größe + rng.normal(size=400) > 0, "ja", "nein"),
    })  # fmt: skip
    rows.loc[::7, "Größe [m]"] = np.nan
    path = tmp_path_factory.mktemp("own") / "käufer.csv"
    rows.to_csv(path, index=False)
    return path


def test_run_model_and_version_have_the_same_card(run_script, own_rows):
    options = ["--label", "kauf", "--positive", "ja", "--groups", "städte|", "--register", "käufer"]
    done = run_script(train.main, "--data", own_rows, "--n_estimators", 5, *options)
    assert done.returncode == 0, done.stderr
    card = card_of(the_run())
    (model,) = mlflow.MlflowClient().search_logged_models(["0"])
    assert artifacts.read_text(model.model_uri, logged_model.CARD) == card
    assert mlflow.MlflowClient().get_model_version("käufer", "1").description == card
    parts = sections(card)
    assert parts[""].strip().startswith("# kauf (käufer)\n\nXGBoost predicts whether kauf is ja")
    assert "| <" not in card
    assert html.unescape(parts["Groups"]).count("| städte| (2) |") == 2
    assert f"mlflow models serve -m {model.model_uri} " in parts["Use"]
    assert "- The test rows are a part of the same file" in parts["Limits"]
    assert "CC BY" not in card
    assert "licence is not known" in parts["Data"]
    assert parts["How it was chosen"].startswith("The configuration was given; nothing was chosen")


def test_the_results_are_those_of_the_run_beside_a_constant_prediction(run_script, own_rows):
    options = ["--label", "kauf", "--positive", "ja"]
    run_script(train.main, "--data", own_rows, "--n_estimators", 5, *options)
    run = the_run()
    parts, found = sections(card_of(run)), run.data.metrics
    rows = [line.split("|")[1:5] for line in parts["Results on test rows"].splitlines()]
    cells = {name.strip(): [cell.strip() for cell in cells] for name, *cells in filter(None, rows)}
    low, high = found["interval/accuracy_low"], found["interval/accuracy_high"]
    assert cells["accuracy"][:2] == [f"{found['accuracy']:.4f}", f"[{low:.4f}, {high:.4f}]"]
    assert cells["roc_auc"][2] == "0.5000"
    known = {name for name, cells in cells.items() if cells[1].startswith("[")}
    assert {f"interval/{name}_low" for name in known} == {
        name for name in found if name.startswith("interval/") and name.endswith("_low")
    }
    assert "Groups" not in parts
    assert "No columns of groups were named" in parts["Limits"]


def test_synthetic_rows_have_no_licence_and_a_warning(run_script, synthetic_folder):
    run_script(sweep.main, "--data", synthetic_folder, "--max_depth", "2,3", "--n_estimators", "5",
               "--learning_rate", "0.1")  # fmt: skip
    card = card_of(the_parent())
    parts = sections(card)
    assert "**Synthetic rows: no real people, no conclusions.**" in parts[""]
    assert parts["Data"].startswith("Rows that this project generated.")
    assert "CC BY" not in card
    assert parts["How it was chosen"].startswith("**The best of 2 configurations** by")


def the_parent():
    (run,) = (
        run
        for run in mlflow.search_runs(output_format="list")
        if "mlflow.parentRunId" not in run.data.tags
    )
    return run


def test_a_card_names_the_licence_of_the_census_and_early_stopping(rows):
    dataset = rows
    booster, _ = boosting.fit(
        DEFAULTS | {"n_estimators": 3}, boosting.bin_rows(dataset.train.X, dataset.train.y)
    )
    probability = booster.inplace_predict(Encoder(booster)(dataset.test.X))
    frames = fairness.metric_frames(
        dataset.test.groups, dataset.table, dataset.test.y, probability >= 0.5
    )
    tables = {
        "groups.csv": fairness.group_table(frames, dataset.table),
        "diagnosis.csv": pd.DataFrame(),
    }
    metrics = {"precision": 0.5, "best_n_estimators": 3.0}
    card = model_card.write(
        "models:/m-0", dataset, booster, DEFAULTS, metrics, tables, "Summary.", ""
    )
    parts = sections(card)
    assert ("licence CC BY 4.0" in parts["Data"]) == (dataset.origin == "uci")
    assert ("one year, 1994" in parts["Limits"]) == (dataset.origin == "uci")
    assert "early stopping chose 3 rounds" in parts["How it was chosen"]
    assert parts[""].endswith("The checks of the model and of its data found nothing.")
    accuracy = tables["groups.csv"].groupby("feature")["accuracy"]
    assert f"| **{(accuracy.max() - accuracy.min()).max():.3f}** |" in parts["Groups"]


def test_the_metrics_of_a_constant_are_those_of_scikit_learn():
    y_true = np.arange(1000) % 10 < 3
    for constant in (0.2, 0.5, 0.7):
        found = metrics.constant_metrics(constant, y_true.mean())
        expected = metrics.classification_metrics(y_true * 1, np.full(1000, constant))
        assert found == pytest.approx({name: expected[name] for name in found})


def test_a_version_made_by_promote_gets_verdict_and_card_within_the_limit_of_mlflow(
    run_script, synthetic_folder, tmp_path
):
    for name in DIGESTS:  # rows that the user vouches for: without the marker
        text = (synthetic_folder / name).read_text().removeprefix(f"{synthetic.MARKER}\n")
        (tmp_path / name).write_text(text)
    run_script(train.main, "--data", tmp_path)
    run = the_run()
    done = run_script(promote.main, "--model", f"runs:/{run.info.run_id}/model", "--name", "x")
    assert done.returncode == 0, done.stderr
    version = mlflow.MlflowClient().get_model_version("x", "1")
    verdict, card = version.description.split(registry.RULE)
    assert verdict.startswith("**passed** against no champion")
    assert card == card_of(run) or card.endswith(registry.REST)
    registry.log_verdict(version, {}, "verdict " * 300)
    found = mlflow.MlflowClient().get_model_version("x", version.version).description
    assert len(found) <= registry.MAX_DESCRIPTION
    assert found.endswith(f"\n\n{registry.REST}")


@pytest.mark.parametrize(("length", "expected"), [
    (100, "# a\n\nb\n\n## c\n\nd\ne"), (16, "# a\n\nb\n\n..."), (9, "# a\n\n..."),
])  # fmt: skip
def test_markdown_is_shortened_by_whole_sections_then_by_lines(length, expected):
    assert shorten_markdown("# a\n\nb\n\n## c\n\nd\ne", length, "...") == expected
