"""A model of a generated table predicts alike, however its rows are sent: every way is tried."""

import csv
import json
import random
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.pyfunc import scoring_server
from mlflow.utils.validation import _validate_metric_name

from tabular import model_card, reporting, scoring, training
from tabular.data import sources
from tabular.data.dataset import Dataset
from tabular.evaluation import fairness, plot_style, plots, shap
from tabular.model.hyperparameters import DEFAULTS
from tabular.model.served import Encoder
from tabular.tracking import logged_model, model_files, runs
from tests.hostile import table_files
from tests.hostile.tables import Table

CONFIG = DEFAULTS | {"n_estimators": 4, "max_depth": 3, "learning_rate": 0.5}


def require_alike(table: Table, folder: Path, rng: random.Random) -> None:
    """Train on a table, and check the answers of its model in every way that it can be asked."""
    data, request = table_files.write(table, folder, rng)
    dataset = sources.load(str(data), request)
    fitted = training.fit(CONFIG, dataset, seed=0, device="cpu")
    evaluation = training.evaluate(fitted.booster, dataset)
    evaluation.metrics |= evaluation.intervals()
    for name in evaluation.metrics:
        _validate_metric_name(name)
    by_group = [name for name in evaluation.metrics if fairness.PARITY in name]
    assert len(by_group) == len(dataset.table.groups), "metrics by group"
    labels = fairness.group_labels(dataset.test.groups, dataset.table)
    for name in {*labels} - {*dataset.table.bands}:
        values = dataset.test.groups[name].astype(object).fillna("missing")
        assert labels[name].nunique() == values.nunique(), f"{name}: groups"
    draw(fitted, evaluation, dataset)
    examples = logged_model.to_client_frame(dataset.test.X.head(5))
    with runs.start_run("a run") as run:
        runs.log_setup(run, {}, dataset, "cpu")
        info = logged_model.log_model(fitted.booster, examples, {}, dataset.table)
        other = {"train_log_loss": {1: 0.5}}
        runs.log_results(run, info.model_id, evaluation.metrics, dataset, {}, other)
        summary = reporting.summarize(dataset, evaluation.metrics)
        runs.log_tags(run, {runs.DESCRIPTION: reporting.describe(run, summary)})
        tables = evaluation.tables | {"diagnosis.csv": pd.DataFrame()}
        parts = fitted.booster, fitted.config, evaluation.metrics, tables, summary, ""
        model_files.add(
            info.model_id,
            logged_model.CARD,
            model_card.write(info.model_uri, dataset, *parts),
        )
    assert runs.recorded_table(run) == dataset.table
    probability = evaluation.probability.astype(float).tolist()
    labels = [dataset.table.positive if p >= 0.5 else dataset.table.negative for p in probability]
    for way, (found_labels, found) in answers(info.model_uri, dataset, folder).items():
        assert found == probability, f"{way}: probabilities"
        assert found_labels == labels, f"{way}: labels"


def draw(fitted: training.Fitted, evaluation: training.Evaluation, dataset: Dataset) -> None:
    """Draw every plot; a warning is an error."""
    y, table = dataset.test.y, dataset.table
    name = dataset.test.name
    figures = plots.figures(
        y, evaluation.probability, evaluation.tables, fitted.curves, table, name
    )
    X = dataset.test.X
    values = shap.shap_values(fitted.booster, Encoder(fitted.booster)(X))
    by_feature = shap.shap_table([*X], values)
    figures["plots/shap.png"] = plots.shap(X, values, by_feature, table.positive, name)
    for figure in figures.values():
        assert plot_style.png(figure).startswith(b"\x89PNG")


def answers(uri: str, dataset: Dataset, folder: Path) -> dict[str, tuple[list, list]]:
    """The labels and probabilities of the test rows, by the way in which the model was asked."""
    model = mlflow.pyfunc.load_model(uri)
    frame = logged_model.to_client_frame(dataset.test.X)
    label, found = dataset.table.label, {}
    forms = {"frame": frame, "nullable": frame.convert_dtypes(), "typed": typed(frame)}
    for form, rows in (forms | {"categories": forms["typed"].astype("category")}).items():
        predicted = model.predict(rows)
        found[form] = predicted[label].tolist(), predicted.iloc[:, -1].tolist()
    cells = [
        [None if value is None or value != value else value for value in row]
        for row in frame.to_numpy(object).tolist()
    ]
    records = [dict(zip(frame.columns, row, strict=True)) for row in cells]
    split = {"columns": [*frame], "data": cells}
    for form, body in {"dataframe_split": split, "dataframe_records": records}.items():
        response = scoring_server.invocations(
            json.dumps({form: body}), "application/json", model, model.metadata.get_input_schema()
        )
        rows = json.loads(response.response)["predictions"]
        found[form] = [row[label] for row in rows], [[*row.values()][-1] for row in rows]
    frame.to_csv(folder / "in.csv", index=False, quoting=csv.QUOTE_ALL)
    frame.to_parquet(folder / "in.parquet")
    for source, target in (("in.csv", "out.parquet"), ("in.parquet", "out.csv")):
        scoring.score(uri, str(folder / source), str(folder / target), 0.5, {})
        found[source] = _read_scored(folder / target)
    return found


def typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows whose columns of whole numbers and of truth values are integers and booleans."""
    columns = {}
    for name in frame:
        column = frame[name].convert_dtypes()
        if column.dtype == "string" and column.dropna().isin(["true", "false"]).all():
            column = column.map({"true": True, "false": False}).astype("boolean")
        elif column.dtype == "string" and column.dropna().str.fullmatch("[1-9][0-9]{0,17}").all():
            column = column.astype("Int64")
        columns[name] = column
    return pd.DataFrame(columns, index=frame.index)


def _read_scored(path: Path) -> tuple[list, list]:
    """Labels and probabilities: the last columns of a scored file."""
    if path.suffix == ".parquet":
        frame = pd.read_parquet(path)
        return frame.iloc[:, -2].tolist(), frame.iloc[:, -1].tolist()
    with path.open(newline="", encoding="utf-8") as file:
        _, *rows = csv.reader(file)
    return [row[-2] for row in rows], [float(row[-1]) for row in rows]
