"""Train a past run again from its own record, and compare every result."""

from itertools import zip_longest
from typing import Any

import click
import pandas as pd
from mlflow.entities import Run

from tabular import reporting, training
from tabular.data import sources
from tabular.data.dataset import Dataset
from tabular.errors import UserError, WorkFailed
from tabular.evaluation import thresholds
from tabular.model import boosting
from tabular.model.hyperparameters import DEFAULTS
from tabular.options import DEFAULT_THRESHOLD, parse_threshold
from tabular.sweep import child_runs
from tabular.sweep.space import Config
from tabular.sweep.trials import SweepSpec, run_shared_fit
from tabular.tracking import artifacts, logged_model, opening, runs, store

Results = dict[str, Any]  # metrics, curves, tags and tables by name


def reproduce(run_id: str, cli_args: dict[str, str]) -> None:
    """Do all of ``reproduce.py``: arguments are its options.

    Raises:
        UserError: there is no such run, or it did not finish.
        WorkFailed: some result is not identical.
    """
    opening.require_usable()
    past = _require_finished(run_id)
    dataset = sources.reload(past.data.tags, runs.recorded_table(past))
    device = past.data.tags["device"]
    try:
        boosting.require_device(device)
    except UserError as error:
        click.echo(f"WARNING: {error}; this is on the CPU", err=True)
        device = "cpu"
    reporting.announce(dataset)
    with runs.start_run(f"reproduce {past.info.run_name}") as run:
        runs.log_setup(run, cli_args, dataset, device, {"reproduces": run_id})
        again = repeat_trial if child_runs.CONFIG in past.data.tags else retrain
        found, recorded = _recorded_results(past, again(past, dataset, device))
        differing = [name for name in found if not _equal(found[name], recorded[name])]
        shown = {name: _show_both(recorded[name], found[name]) for name in found}
        for name in differing:
            click.echo("differs {}: {} recorded, {} found".format(name, *shown[name]))
        rows = [(name, *both, name not in differing) for name, both in shown.items()]
        table = pd.DataFrame(rows, columns=["result", "recorded", "found", "identical"])
        runs.log_artifacts(run, {}, {"comparison.csv": table})
        runs.log_tags(run, {"identical": str(not differing).lower()})
        if differing:
            raise WorkFailed(
                f"{len(differing)} of {len(found)} results of run {run_id} are not identical; "
                f"{likely_reason(past, run, dataset, device)}"
            )
    few = ", ".join([*found][:3])
    click.echo(f"identical: all {len(found)} results of run {run_id} ({few}, ...)")


def _require_finished(run_id: str) -> Run:
    """The run of that id, which trained a model or evaluated a configuration."""
    past = store.find_run(run_id)
    trained = past and {"data.digest", "device"} <= {*past.data.tags} and "seed" in past.data.params
    if not past or not trained or past.info.status != "FINISHED":
        raise UserError(
            f"run_id: expected a FINISHED run of train.py or sweep.py, got {run_id!r}, which is "
            f"{past.info.status if past else 'unknown'} in {store.describe(store.tracking_uri())}"
        )
    is_trial = child_runs.CONFIG in past.data.tags  # which has no artifacts
    if not is_trial and (folder := artifacts.missing_folder(past.info.artifact_uri)):
        click.echo(f"note   {artifacts.explain_missing(folder, f'the artifacts of run {run_id}')}")
    return past


def retrain(past: Run, dataset: Dataset, device: str) -> Results:
    """The results, by name, of a run of ``train.py`` or of the winner of a sweep."""
    params = past.data.params
    if best := past.data.tags.get(child_runs.BEST):
        winner = store.find_run(best)
        if not winner:
            raise UserError(f"run_id: {best}, the best child run of this sweep, has been deleted")
        params = params | winner.data.params
    params = _given(params)
    seed, stopping = int(params["seed"]), int(params.get("early_stopping_rounds", 0))
    rule = parse_threshold(params.get("threshold", str(DEFAULT_THRESHOLD)))
    indices = []
    if stopping or rule.value is None:
        folds = int(params.get("folds", 1))
        indices = boosting.validation_splits(dataset.train.y, seed, folds)
    fitted = training.fit(
        _config(params),
        dataset,
        seed=seed,
        device=device,
        early_stopping_rounds=stopping,
        validation_indices=indices,
    )
    threshold = thresholds.decide(rule, fitted.validation)
    evaluation = training.evaluate(fitted.booster, dataset, threshold)
    return {
        logged_model.DIGEST: logged_model.model_digest(fitted.booster),
        **evaluation.metrics,
        **evaluation.intervals(),
        **{name: value for name, value in fitted.metrics.items() if name != "fit_seconds"},
        **fitted.curves,
        **{path: runs.to_csv(table) for path, table in evaluation.tables.items()},
    }


def repeat_trial(past: Run, dataset: Dataset, device: str) -> Results:
    """The results, by name, of a child run of a sweep: fitted alone, on all cores."""
    params = past.data.params
    spec = SweepSpec(dataset, device, int(params["seed"]), int(params["folds"]))
    config = _config(params)
    matrices = spec.matrices(config["max_bin"])
    (result,) = run_shared_fit(spec, matrices, [config], [past.info.run_id])
    if result.curve is None:
        raise WorkFailed(result.error or "there is no result")
    values = result.metrics | {"log_loss": dict(enumerate(result.curve.tolist(), start=1))}
    return {f"{child_runs.VALIDATION}{name}": value for name, value in values.items()}


def _config(params: dict[str, str]) -> Config:
    """The configuration of a run; one that is older than a hyper-parameter has its default."""
    return {name: type(value)(params.get(name, value)) for name, value in DEFAULTS.items()}


def _given(params: dict[str, str]) -> dict[str, str]:
    """The parameters without those of the text None, which stands for a default."""
    return {name: text for name, text in params.items() if text != "None"}


def _recorded_results(past: Run, found: Results) -> tuple[Results, Results]:
    """What was found, as far as the past run recorded it, and what the past run recorded.

    Raises:
        WorkFailed: the past run did not record the first result, which every version records.
    """
    recorded = {name: store.recorded_value(past, name, value) for name, value in found.items()}
    if missing := [name for name in found if recorded[name] in (None, {})]:
        note = f"run {past.info.run_id} did not record {', '.join(missing)}"
        if next(iter(found)) in missing:
            raise WorkFailed(f"{note}: there is nothing to compare")
        click.echo(f"note   {note}")
    kept = [name for name in found if name not in missing]
    return {name: found[name] for name in kept}, {name: recorded[name] for name in kept}


def _equal(a: Any, b: Any) -> bool:
    return a == b or (a != a and b != b)  # NaN is recorded where a metric is undefined


def _show_both(recorded: Any, found: Any) -> tuple[str, str]:
    """Two values in short; of texts that differ, their first lines that do."""
    if isinstance(recorded, str) and isinstance(found, str):
        lines = zip_longest(recorded.splitlines(), found.splitlines(), fillvalue="nothing")
        differing = ((before, now) for before, now in lines if before != now)
        recorded, found = next(differing, (recorded, found))
    return _show(recorded), _show(found)


def _show(value: Any) -> str:
    if isinstance(value, dict):
        return f"{value[max(value)]} after {max(value)} rounds" if value else "nothing"
    return " ".join(str(value).split())[:64]


def likely_reason(past: Run, run: Run, dataset: Dataset, device: str) -> str:
    """What else differs between a past run and this one, as far as it was recorded."""
    commit = {runs.COMMIT: run.data.tags.get(runs.COMMIT)}
    now = runs.provenance_tags(dataset, device) | commit
    now.pop("data.source")
    changes = [
        f"{name} was {past.data.tags.get(name)}, is {value}"
        for name, value in now.items()
        if past.data.tags.get(name) != value
    ]
    if past.data.params.get("executor", "local") != "local":
        changes.append(f"executor was {past.data.params['executor']}, is local")
    likely = "likely because " + "; ".join(changes)
    return likely if changes else "data, versions, device, machine type and commit are the same"
