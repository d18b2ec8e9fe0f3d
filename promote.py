"""Compare a model with the champion on the test rows; make it champion if every check passes.

mlflow run . -e promote -P model=runs:/786c010b249d46629aa38544c6ef8904/model
python promote.py --model models:/census-income/3 --metric accuracy --min_improvement 0.001
python promote.py --rollback true
"""

import click

import train
from tabular import cancel, cli
from tabular.data import census
from tabular.errors import UserError, WorkFailed, one_line
from tabular.sweep import space

CANDIDATE, NAME = "promote.candidate", "promote.name"  # tags of a run


@click.command(cls=cli.Command, help=__doc__)
@cli.option("model", None, "none", "Address of the candidate; none only with rollback.")
@cli.option("name", None, census.NAME, "Registered model whose champion it is to be.")
@cli.option("metric", click.Choice([*space.METRICS]), "log_loss", "What must improve.")
@cli.option(
    "min_improvement",
    cli.Float(),
    0.0,
    "The 95 % interval of the improvement over the champion must lie above this.",
)
@cli.option(
    "max_group_drop", cli.Float(0, 1), 0.02, "So much accuracy any group of people may lose."
)
@cli.option("rollback", click.BOOL, "false", "true makes the previous version champion again.")
@click.pass_context
def main(ctx, model, name, metric, min_improvement, max_group_drop, rollback) -> None:
    with cancel.uninterrupted():
        from tabular.data import sources
        from tabular.tracking import registry, runs, store

    registry.require_name("name", name)
    store.require_reachable()
    champion = registry.version_by_alias(name, registry.CHAMPION)
    typed = ctx.meta["typed"]
    if rollback:
        roll_back(name, champion, typed)
        return
    if model == "none":
        raise UserError("model: expected the address of a model, such as runs:/<run id>/model")
    candidate = registry.find_model(model)
    version = registry.find_version(candidate, name)
    if champion and version and champion.version == version.version:
        raise UserError(f"model: {model} is version {version.version}, the champion of {name}")
    tags = candidate.run.data.tags
    rows = sources.reload(tags)
    train.announce(rows)
    with runs.start_run(f"promote {candidate.run.info.run_name}") as run:
        marks = {CANDIDATE: candidate.uri, NAME: name}
        runs.log_params(run, typed)
        runs.log_tags(run, runs.provenance_tags(rows, tags["device"]) | marks)
        runs.log_inputs(run.info.run_id, rows, test=rows.test)
        checks = compare(candidate, champion, rows, metric, min_improvement, max_group_drop)
        passed = checks["passed"].all()
        if passed and not version:
            version = registry.register(candidate.uri, name)
        say(run, checks, champion, version, count(name, candidate))
        if not passed:
            failed = ", ".join(checks["check"][~checks["passed"]])
            raise WorkFailed(f"refused, nothing is changed: {failed}")
        registry.set_champion(version, champion)
    before = f", version {champion.version} previous" if champion else ", the first"
    click.echo(f"promoted: version {version.version} of {name} is champion{before}")


def roll_back(name: str, champion, typed: dict[str, str]) -> None:
    """Make the previous version champion again."""
    from tabular.tracking import registry, runs

    previous = registry.version_by_alias(name, registry.PREVIOUS)
    if not champion or not previous:
        raise UserError(f"rollback: {name} has no version with the alias {registry.PREVIOUS}")
    with runs.start_run(f"roll back {name}") as run:
        runs.log_params(run, typed)
        registry.roll_back(champion, previous)
        tags = {"rolled_back_by": run.info.run_id}
        line = f"**rolled back** to version {previous.version} by run {run.info.run_id}"
        registry.log_verdict(champion, tags, line)
    click.echo(f"rolled back: version {previous.version} of {name} is champion again")


def compare(candidate, champion, rows, metric: str, min_improvement: float, max_group_drop: float):
    """Check the candidate, and hold it against the champion (a version, or None).

    Returns:
        One line a check: ``check``, ``figure``, ``bound``, ``passed``.
    """
    import pandas as pd

    from tabular.evaluation import metrics
    from tabular.tracking import registry, runs

    incumbent = champion and registry.find_model(
        f"models:/{champion.name}/{champion.version}", "name"
    )
    promised = incumbent.signature if incumbent else runs.SIGNATURE
    breaches = registry.incompatibilities(candidate.signature, promised)
    checks = [("real_rows", rows.origin, "uci or directory", rows.origin != "synthetic")]
    for of, model in (("candidate", candidate), ("champion", incumbent)):
        if model:
            digest = model.run.data.tags["data.digest"]
            checks.append((f"{of}_data", digest[:8], rows.digest[:8], digest == rows.digest))
    checks.append(("signature", "; ".join(breaches) or "compatible", "compatible", not breaches))
    if not breaches:
        y, probability = rows.test.y, registry.predict(candidate, rows.test)
        scores = metrics.search_metrics(y, probability)
        for name, floor in census.FLOORS.items():
            sign = space.METRICS[name]
            bound = f"at {'most' if sign > 0 else 'least'} {floor}"
            figure = scores[name]
            checks.append((name, f"{figure:.4f}", bound, sign * figure <= sign * floor))
        if incumbent:
            other = registry.predict(incumbent, rows.test)
            checks.append(_improvement(y, probability, other, metric, min_improvement))
            checks.append(_group_drop(rows.test, probability, other, max_group_drop))
    return pd.DataFrame(checks, columns=["check", "figure", "bound", "passed"])


def _improvement(y, probability, other, metric: str, least: float) -> tuple:
    """By a paired bootstrap: both models meet the same resampled rows."""
    from tabular.evaluation import metrics

    sign = space.METRICS[metric]
    better = sign * (
        metrics.search_metrics(y, other)[metric] - metrics.search_metrics(y, probability)[metric]
    )
    ours, theirs = (metrics.bootstrap(y, p)[metric] for p in (probability, other))
    low, high = metrics.percentile_interval(sign * (theirs - ours))
    figure = f"{metric} {better:+.4f} [{low:+.4f}, {high:+.4f}]"
    return "improvement", figure, f"interval above {least}", low > least


def _group_drop(split, probability, other, most: float) -> tuple:
    from tabular.evaluation import fairness

    new, old = (
        fairness.group_table(fairness.metric_frames(split.X, split.y, p >= 0.5))
        for p in (probability, other)
    )
    drop = old["accuracy"] - new["accuracy"]
    wrong = (drop * new["rows"]).round().astype(int)
    drop = drop.where(wrong != 1, 0.0)  # one person proves nothing, and is much of a small group
    worst = drop.idxmax()
    group, n_rows = one_line(new["group"][worst])[:60], new["rows"][worst]
    where = f"{group}: {wrong[worst]:+,} of {n_rows:,} rows wrong"
    return "group_drop", f"{drop[worst]:+.4f} ({where})", f"at most {most}", drop[worst] <= most


def count(name: str, candidate) -> int:
    """How many models have been compared on the test rows for the name so far, this one included.

    The more, the more likely is it that the best of them is so by chance.
    """
    from tabular.tracking import store

    runs = store.search_runs(f"tags.`{CANDIDATE}` != ''")
    compared = {run.data.tags[CANDIDATE] for run in runs if run.data.tags.get(NAME) == name}
    return len(compared | {candidate.uri})


def say(run, checks, champion, version, n_compared: int) -> None:
    """Print the verdict and log it, on the run and on the version where there is one."""
    from tabular.tracking import registry, runs

    verdict = "passed" if checks["passed"].all() else "refused"
    lines = []
    for check, figure, bound, passed in checks.itertuples(index=False):
        click.echo(f"{'passed' if passed else 'FAILED'} {check}: {figure} ({bound})")
        shown = f"{runs.escape_markdown(figure)} | {runs.escape_markdown(bound)}"
        lines.append(f"| {check} | {shown} | {'passed' if passed else '**failed**'} |")
    against = f"version {champion.version}, the champion" if champion else "no champion"
    note = (
        f"**{verdict}** against {against}; "
        f"models compared on these test rows so far: {n_compared}\n\n"
        "| check | figure | bound | |\n| --- | --- | --- | --- |\n" + "\n".join(lines)
    )
    runs.log_artifacts(run, {}, {"verdict.json": checks, "verdict.csv": checks})
    tags = {"verdict": verdict, "candidates_compared": str(n_compared)}
    runs.log_tags(run, tags | {runs.DESCRIPTION: note})
    if version:
        tags |= {f"verdict.{line.check}": line.figure for line in checks.itertuples()}
        registry.log_verdict(version, tags | {"verdict.run_id": run.info.run_id}, note)


if __name__ == "__main__":
    cli.run(main)
