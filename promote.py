"""Compare a model with the champion on the test rows; make it champion if every check passes.

mlflow run . -e promote -P model=runs:/786c010b249d46629aa38544c6ef8904/model
python promote.py --model models:/census-income/3 --metric accuracy --min_improvement 0.001
python promote.py --rollback true
"""

import click

import train
from census import UserError, WorkFailed, cli, grid, interruption, one_line, table

CANDIDATE, NAME = "promote.candidate", "promote.name"  # tags of a run


@click.command(cls=cli.Command, help=__doc__)
@cli.option("model", None, "none", "Address of the candidate; none only with rollback.")
@cli.option("name", None, table.NAME, "Registered model whose champion it is to be.")
@cli.option("metric", click.Choice([*grid.METRICS]), "log_loss", "What must improve.")
@cli.option(
    "min_improvement",
    cli.Real(),
    0.0,
    "The 95 % interval of the improvement over the champion must lie above this.",
)
@cli.option(
    "max_group_drop", cli.Real(0, 1), 0.02, "So much accuracy any group of people may lose."
)
@cli.option("rollback", click.BOOL, "false", "true makes the previous version champion again.")
@click.pass_context
def main(ctx, model, name, metric, min_improvement, max_group_drop, rollback) -> None:
    with interruption.held_off():
        from census import data, registry, store, tracking

    registry.require_name("name", name)
    store.require()
    champion = registry.by_alias(name, registry.CHAMPION)
    typed = ctx.meta["typed"]
    if rollback:
        roll_back(name, champion, typed)
        return
    if model == "none":
        raise UserError("model: expected the address of a model, such as runs:/<run id>/model")
    candidate = registry.find(model)
    version = registry.version_of(candidate, name)
    if champion and version and champion.version == version.version:
        raise UserError(f"model: {model} is version {version.version}, the champion of {name}")
    tags = candidate.run.data.tags
    rows = data.load_again(tags)
    train.announce(rows)
    with tracking.start_run(f"promote {candidate.run.info.run_name}") as run:
        marks = {CANDIDATE: candidate.uri, NAME: name}
        tracking.log_params(run, typed)
        tracking.log_tags(run, tracking.record(rows, tags["device"]) | marks)
        tracking.log_inputs(run.info.run_id, rows, test=rows.test)
        checks = compare(candidate, champion, rows, metric, min_improvement, max_group_drop)
        passed = checks["passed"].all()
        if passed and not version:
            version = registry.register(candidate.uri, name)
        say(run, checks, champion, version, count(name, candidate))
        if not passed:
            failed = ", ".join(checks["check"][~checks["passed"]])
            raise WorkFailed(f"refused, nothing is changed: {failed}")
        registry.promote(version, champion)
    before = f", version {champion.version} previous" if champion else ", the first"
    click.echo(f"promoted: version {version.version} of {name} is champion{before}")


def roll_back(name: str, champion, typed: dict[str, str]) -> None:
    """Make the previous version champion again."""
    from census import registry, tracking

    previous = registry.by_alias(name, registry.PREVIOUS)
    if not champion or not previous:
        raise UserError(f"rollback: {name} has no version with the alias {registry.PREVIOUS}")
    with tracking.start_run(f"roll back {name}") as run:
        tracking.log_params(run, typed)
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

    from census import evaluation, registry, tracking

    incumbent = champion and registry.find(f"models:/{champion.name}/{champion.version}", "name")
    promised = incumbent.signature if incumbent else tracking.SIGNATURE
    breaches = registry.breaches(candidate.signature, promised)
    checks = [("real_rows", rows.origin, "uci or directory", rows.origin != "synthetic")]
    for of, model in (("candidate", candidate), ("champion", incumbent)):
        if model:
            digest = model.run.data.tags["data.digest"]
            checks.append((f"{of}_data", digest[:8], rows.digest[:8], digest == rows.digest))
    checks.append(("signature", "; ".join(breaches) or "compatible", "compatible", not breaches))
    if not breaches:
        y, probability = rows.test.y, registry.answers(candidate, rows.test)
        scores = evaluation.core_scores(y, probability)
        for name, floor in table.FLOORS.items():
            sign = grid.METRICS[name]
            bound = f"at {'most' if sign > 0 else 'least'} {floor}"
            figure = scores[name]
            checks.append((name, f"{figure:.4f}", bound, sign * figure <= sign * floor))
        if incumbent:
            other = registry.answers(incumbent, rows.test)
            checks.append(_improvement(y, probability, other, metric, min_improvement))
            checks.append(_group_drop(rows.test, probability, other, max_group_drop))
    return pd.DataFrame(checks, columns=["check", "figure", "bound", "passed"])


def _improvement(y, probability, other, metric: str, least: float) -> tuple:
    """By a paired bootstrap: both models meet the same resampled rows."""
    from census import evaluation

    sign = grid.METRICS[metric]
    better = sign * (
        evaluation.core_scores(y, other)[metric] - evaluation.core_scores(y, probability)[metric]
    )
    ours, theirs = (evaluation.bootstrap(y, p)[metric] for p in (probability, other))
    low, high = evaluation.interval(sign * (theirs - ours))
    figure = f"{metric} {better:+.4f} [{low:+.4f}, {high:+.4f}]"
    return "improvement", figure, f"interval above {least}", low > least


def _group_drop(split, probability, other, most: float) -> tuple:
    from census import groups

    new, old = (
        groups.by_group(groups.frames(split.X, split.y, p >= 0.5)) for p in (probability, other)
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
    from census import store

    runs = store.search(f"tags.`{CANDIDATE}` != ''")
    compared = {run.data.tags[CANDIDATE] for run in runs if run.data.tags.get(NAME) == name}
    return len(compared | {candidate.uri})


def say(run, checks, champion, version, n_compared: int) -> None:
    """Print the verdict and log it, on the run and on the version where there is one."""
    from census import registry, tracking

    verdict = "passed" if checks["passed"].all() else "refused"
    lines = []
    for check, figure, bound, passed in checks.itertuples(index=False):
        click.echo(f"{'passed' if passed else 'FAILED'} {check}: {figure} ({bound})")
        shown = f"{tracking.in_markdown(figure)} | {tracking.in_markdown(bound)}"
        lines.append(f"| {check} | {shown} | {'passed' if passed else '**failed**'} |")
    against = f"version {champion.version}, the champion" if champion else "no champion"
    note = (
        f"**{verdict}** against {against}; "
        f"models compared on these test rows so far: {n_compared}\n\n"
        "| check | figure | bound | |\n| --- | --- | --- | --- |\n" + "\n".join(lines)
    )
    tracking.log_files(run, {}, {"verdict.json": checks, "verdict.csv": checks})
    tags = {"verdict": verdict, "candidates_compared": str(n_compared)}
    tracking.log_tags(run, tags | {tracking.DESCRIPTION: note})
    if version:
        tags |= {f"verdict.{line.check}": line.figure for line in checks.itertuples()}
        registry.log_verdict(version, tags | {"verdict.run_id": run.info.run_id}, note)


if __name__ == "__main__":
    cli.run(main)
