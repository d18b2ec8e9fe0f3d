"""Promote a model: compare it with the champion on the test set, and move the aliases."""

import shlex
from dataclasses import dataclass

import click
import pandas as pd
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion

from tabular import cancel, champions, reporting
from tabular.champions import CANDIDATE, NAME, VERSION
from tabular.data import sources
from tabular.data.census import CENSUS
from tabular.data.dataset import Dataset
from tabular.data.table import Table
from tabular.errors import UserError, WorkFailed, escape_markdown
from tabular.options import AUTO
from tabular.promotion_checks import Requirements, check_candidate
from tabular.tracking import datasets, opening, registry, runs, store
from tabular.tracking.registry import LoggedModel


@dataclass(frozen=True)
class PromoteOptions(Requirements):
    """Options of ``promote.py``.

    Attributes:
        model: address of the candidate; none only with ``rollback``.
        name: registered model whose champion it is to be; auto: that of the candidate's table.
        rollback: make the previous version champion again instead.
        history: print which versions were champion instead; nothing is recorded.
        cli_args: every option as it was typed, by name.
    """

    model: str
    name: str
    rollback: bool
    history: bool
    cli_args: dict[str, str]


def promote(options: PromoteOptions) -> None:
    """Do all of ``promote.py``.

    Raises:
        UserError: there is no such model or name.
        WorkFailed: a check failed; nothing is changed then.
    """
    if options.name != AUTO:
        registry.require_name("name", options.name)
    if options.history and options.rollback:
        raise UserError("history: expected false with rollback=true, got true: it changes nothing")
    opening.require_usable()
    opening.require_registry(writes=not options.history)
    known = CENSUS.name if options.name == AUTO else options.name
    if options.history:
        champions.show_history(known)
        return
    if options.rollback:
        roll_back(known, options.cli_args)
        return
    candidate, run_of_candidate, table = _find_candidate(options)
    name = table.name if options.name == AUTO else options.name
    registry.require_name("name", name)
    champion = _find_champion(name)
    before = champion.version if champion else None
    version = registry.find_version(candidate, name)
    if before and version and before.version == version.version:
        raise UserError(
            f"model: {options.model} is version {version.version}, the champion of {name}"
        )
    dataset = sources.reload(candidate.tags, table)
    reporting.announce(dataset)
    with runs.start_run(f"promote {run_of_candidate.info.run_name}") as run:
        runs.log_params(run, options.cli_args)
        _log_setup(run, candidate, name, dataset)
        order = _promote(run, candidate, version, champion, dataset, options, name)
    click.echo(f"promoted: {order}")


def _promote(
    run: Run,
    candidate: LoggedModel,
    version: ModelVersion | None,
    champion: LoggedModel | None,
    dataset: Dataset,
    options: PromoteOptions,
    name: str,
) -> str:
    """Check the candidate, log the verdict, and make it champion if every check passed.

    Args:
        version: of the candidate under the name; None makes one.

    Returns:
        Which version is champion, and what it was compared with.
    """
    before = champion.version if champion else None
    lost = "" if before else _describe_lost_champion(name)
    if lost:
        click.echo(f"note   {lost}: there is no champion to compare with")
    checks = check_candidate(candidate, champion, dataset, options)
    passed = checks["passed"].all()
    if passed and not version:
        version = registry.register(candidate.uri, name)
    log_checks(run, checks, before, version, count_candidates(name, candidate, dataset), lost)
    if not passed or not version:
        failed = ", ".join(checks["check"][~checks["passed"]])
        if champion:
            command = f"compare.py --a {champion.uri} --b {candidate.uri}"
            click.echo(f"note   all differences: {command}")
        raise WorkFailed(f"refused, nothing is changed: {failed}")
    runs.log_tags(run, {VERSION: str(version.version)})
    cancel.check()
    registry.set_champion(version, before)
    order = "compared with no champion" if lost else "the first"
    if before:
        order = f"version {before.version} previous"
    return f"version {version.version} of {name} is champion, {order}"


def _log_setup(run: Run, candidate: LoggedModel, name: str, dataset: Dataset) -> None:
    """Log what is compared on which rows, before the work starts."""
    provenance = runs.provenance_tags(dataset, candidate.tags["device"])
    runs.log_tags(run, provenance | {CANDIDATE: candidate.uri, NAME: name})
    datasets.log_inputs(run.info.run_id, dataset, test=dataset.test)


def _find_candidate(options: PromoteOptions) -> tuple[LoggedModel, Run, Table]:
    """The candidate, the run that logged it, and the table that it was trained on."""
    if options.model == "none":
        raise UserError("model: expected the address of a model, such as runs:/<run id>/model")
    candidate = registry.find_model(options.model)
    run = registry.require_run(candidate, "model", "train it again, in this store")
    return candidate, run, runs.recorded_table(run)


def _find_champion(name: str) -> LoggedModel | None:
    """The champion of a registered model; None if there is none.

    Raises:
        UserError: it is there, but nothing can be compared with it any more.
    """
    version = registry.version_by_alias(name, registry.CHAMPION)
    if not version:
        return None
    code = (
        "import mlflow; mlflow.MlflowClient().delete_registered_model_alias("
        f"{name!r}, {registry.CHAMPION!r})"
    )
    way_out = (
        f"promote.py --name {shlex.quote(name)} --rollback true makes the previous version "
        "champion again; or remove the alias, and the next promotion is compared with none: "
        f"python -c {shlex.quote(code)}"
    )
    option = f"name: version {version.version}, the champion"
    try:
        champion = registry.find_model(registry.address(version), option)
    except UserError as error:
        raise UserError(f"{error.format_message()}; {way_out}") from None
    registry.require_run(champion, option, way_out)
    return champion


def _describe_lost_champion(name: str) -> str:
    """Which version an earlier promotion made champion; empty if there was none."""
    found = store.search_runs(f"tags.`{NAME}` != '' and tags.verdict = 'passed'")
    earlier = [r for r in found if (r.data.tags[NAME], r.info.status) == (name, "FINISHED")]
    if not earlier:
        return ""
    last, tags = earlier[-1].info.run_id, earlier[-1].data.tags
    which = f"version {tags[VERSION]}" if VERSION in tags else f"that of {tags[CANDIDATE]}"
    return f"{which}, which run {last} made champion, is deleted or has lost the alias"


def roll_back(name: str, cli_args: dict[str, str]) -> None:
    """Make the previous version champion again, if it loads."""
    champion = registry.version_by_alias(name, registry.CHAMPION)
    previous = registry.version_by_alias(name, registry.PREVIOUS)
    if not previous:
        raise UserError(f"rollback: {name} has no version with the alias {registry.PREVIOUS}")
    registry.require_loads(registry.address(previous), "rollback")
    with runs.start_run(f"roll back {name}") as run:
        runs.log_params(run, cli_args)
        runs.log_tags(run, {NAME: name, VERSION: str(previous.version)})
        cancel.check()
        registry.roll_back(previous)
        if champion:
            note = f"**rolled back** to version {previous.version} by run {run.info.run_id}"
            registry.log_verdict(champion, {"rolled_back_by": run.info.run_id}, note)
    click.echo(f"rolled back: version {previous.version} of {name} is champion again")


def count_candidates(name: str, candidate: LoggedModel, dataset: Dataset) -> int:
    """How many models have been compared on the test rows for the name, this one included.

    The more there are, the more likely is it that the best of them is best by chance.
    """
    found = store.search_runs(f"tags.`{CANDIDATE}` != ''")
    wanted = {NAME: name, "data.digest": dataset.digest}
    compared = {
        run.data.tags[CANDIDATE] for run in found if wanted.items() <= run.data.tags.items()
    }
    return len(compared | {candidate.uri})


def log_checks(
    run: Run,
    checks: pd.DataFrame,
    champion: ModelVersion | None,
    version: ModelVersion | None,
    n_compared: int,
    lost: str = "",
) -> None:
    """Print the verdict and log it, on the run and on the version where there is one.

    Args:
        lost: what happened to an earlier champion, where there is none now.
    """
    verdict = "passed" if checks["passed"].all() else "refused"
    lines = []
    for check, figure, bound, passed in checks.itertuples(index=False):
        click.echo(f"{'passed' if passed else 'FAILED'} {check}: {figure} ({bound})")
        shown = f"{escape_markdown(figure)} | {escape_markdown(bound)}"
        lines.append(f"| {check} | {shown} | {'passed' if passed else '**failed**'} |")
    n_shown = f"models that promote compared on these test rows so far: {n_compared}"
    click.echo(f"note   {n_shown}")
    against = f"version {champion.version}, the champion" if champion else "no champion"
    against += f" ({lost})" if lost else ""
    note = (
        f"**{verdict}** against {against}; "
        f"{n_shown}\n\n"
        "| check | figure | bound | |\n| --- | --- | --- | --- |\n" + "\n".join(lines)
    )
    runs.log_artifacts(run, {}, {"verdict.json": checks, "verdict.csv": checks})
    tags = {"verdict": verdict, "candidates_compared": str(n_compared)}
    runs.log_tags(run, tags | {runs.DESCRIPTION: note})
    if version:
        tags |= {f"verdict.{line.check}": line.figure for line in checks.itertuples()}
        registry.log_verdict(version, tags | {"verdict.run_id": run.info.run_id}, note)
