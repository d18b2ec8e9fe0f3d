"""Train a past run again from its own record, and say whether the result is identical.

mlflow run . -e reproduce -P run_id=786c010b249d46629aa38544c6ef8904
python reproduce.py --run_id 786c010b249d46629aa38544c6ef8904
"""

import click

import train
from tabular import cancel, cli
from tabular.errors import UserError, WorkFailed
from tabular.model.hyperparameters import DEFAULTS


@click.command(cls=cli.Command, help=__doc__)
@cli.option("run_id", None, None, "Of a run of train.py or sweep.py, or of a sweep's child.")
@click.pass_context
def main(ctx, run_id: str) -> None:
    with cancel.uninterrupted():
        import pandas as pd

        from tabular.data import sources
        from tabular.model import boosting
        from tabular.sweep import child_runs
        from tabular.tracking import runs, store

        store.require_reachable()
        past = store.find_run(run_id)
    if not past or "data.digest" not in past.data.tags or past.info.status != "FINISHED":
        raise UserError(
            f"run_id: expected a FINISHED run of train.py or sweep.py, got {run_id!r}, which is "
            f"{past.info.status if past else 'unknown'} in {store.tracking_uri()}"
        )
    tags = past.data.tags
    rows = sources.reload(tags)
    device = tags["device"]
    try:
        boosting.require_device(device)
    except UserError as error:
        click.echo(f"WARNING: {error}; this is on the CPU", err=True)
        device = "cpu"
    train.announce(rows)
    with runs.start_run(f"reproduce {past.info.run_name}") as run:
        runs.log_setup(run, ctx.meta["typed"], rows, device, {"reproduces": run_id})
        again = rejudge if child_runs.CONFIG in tags else retrain
        found = again(past, rows, device)
        recorded = {name: store.recorded_value(past, name, value) for name, value in found.items()}
        differing = [name for name in found if found[name] != recorded[name]]
        for name in differing:
            click.echo(
                f"differs {name}: {_shown(recorded[name])} recorded, {_shown(found[name])} found"
            )
        lines = [
            (name, _shown(recorded[name]), _shown(found[name]), name not in differing)
            for name in found
        ]
        columns = ["result", "recorded", "found", "identical"]
        runs.log_artifacts(run, {}, {"comparison.csv": pd.DataFrame(lines, columns=columns)})
        runs.log_tags(run, {"identical": str(not differing).lower()})
        if differing:
            raise WorkFailed(
                f"{len(differing)} of {len(found)} results of run {run_id} are not identical; "
                f"{reason(past, run, rows, device)}"
            )
    few = ", ".join([*found][:3])
    click.echo(f"identical: all {len(found)} results of run {run_id} ({few}, ...)")


def retrain(past, rows, device: str) -> dict:
    """What a run of ``train.py``, or the winner of a sweep, gives today, by name."""
    from tabular.model import boosting
    from tabular.sweep import child_runs
    from tabular.tracking import runs, store

    params = past.data.params
    if best := past.data.tags.get(child_runs.BEST):
        params = params | store.find_run(best).data.params
    seed, stopping = int(params["seed"]), int(params.get("early_stopping_rounds", 0))
    parts = boosting.validation_splits(rows.train.y, seed) if stopping else ()
    fitted = train.fit(_config(params), rows, seed, device, stopping, parts)
    _, scores, tables = train.judge(fitted.booster, rows)
    return {
        "model.digest": runs.model_digest(fitted.booster),
        **scores,
        **{name: value for name, value in fitted.metrics.items() if name != "fit_seconds"},
        **fitted.curves,
        **{path: table.to_csv(index=False) for path, table in tables.items()},
    }


def rejudge(past, rows, device: str) -> dict:
    """What a child of a sweep gives today, by name: judged alone, on all cores."""
    from tabular.model import boosting
    from tabular.sweep import trials

    params = past.data.params
    seed, folds = int(params["seed"]), int(params["folds"])
    parts = boosting.validation_splits(rows.train.y, seed, folds)
    matrices = [boosting.split_matrices(rows.train, part) for part in parts]
    fits = iter([[_config(params)]])
    (outcome,) = trials.judged(fits, matrices, 1, lambda fit: [""], seed=seed, device=device)
    if outcome.error:
        raise WorkFailed(outcome.error)
    found = outcome.metrics | {"log_loss": outcome.curve.tolist()}
    return {f"validation_{name}": value for name, value in found.items()}


def _config(params: dict[str, str]) -> dict[str, int | float]:
    return {name: type(default)(params[name]) for name, default in DEFAULTS.items()}


def _shown(value) -> str:
    if isinstance(value, list):
        return f"{value[-1]} after {len(value)} rounds" if value else "nothing"
    return " ".join(str(value).split())[:64]


def reason(past, run, rows, device: str) -> str:
    """What else differs between a past run and this one, for which the record has a word."""
    from tabular.tracking import runs

    commit = "mlflow.source.git.commit"
    now = runs.provenance_tags(rows, device) | {commit: run.data.tags.get(commit)}
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


if __name__ == "__main__":
    cli.run(main)
