"""The champions of a registered model, from the runs of ``promote`` that the store has."""

import io
from dataclasses import dataclass
from datetime import UTC, datetime

import click
import mlflow
import pandas as pd
from mlflow.entities import Run

from tabular import cancel
from tabular.data.census import CENSUS
from tabular.errors import UserError, one_line
from tabular.options import AUTO
from tabular.tracking import registry, store

CANDIDATE, NAME = "promote.candidate", "promote.name"  # tags of a run of promote
VERSION = "promote.version"  # a tag, too: the version that a FINISHED run made champion
SHOWN_NAMES = 5  # of registered models, in an error message


@dataclass(frozen=True)
class Event:
    """What a run of ``promote`` did.

    Attributes:
        version: that it made champion; empty: it refused a model.
        text: the verdict.
    """

    run: Run
    version: str
    text: str

    @property
    def time(self) -> str:
        """When it ended, which is when the aliases move: year to minute, UTC."""
        seconds = (self.run.info.end_time or self.run.info.start_time) / 1000
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"


def show_history(name: str) -> None:
    """Print which version was champion, from when to when, by which run and with which verdict.

    Raises:
        UserError: no run has named a candidate for it.
    """
    past = _find_runs()
    events = find_events(name, [run for run in past if _registered_name(run) == name])
    if not events:
        known = sorted({_registered_name(run) for run in past})[:SHOWN_NAMES]
        raise UserError(
            f"name: no run of promote in {store.describe(store.tracking_uri())} has compared a "
            f"model for {name}; it has for: {', '.join(map(one_line, known)) or 'none'}"
        )
    champions = [event for event in events if event.version]
    ends = {a.run.info.run_id: b.time for a, b in zip(champions, champions[1:], strict=False)}
    current = registry.version_by_alias(name, registry.CHAMPION)
    now = str(current.version) if current else ""
    click.echo(f"champions of {one_line(name)}, times in UTC")
    for event in events:
        cancel.check()
        what = "refused"
        if event.version:
            is_now = event is champions[-1] and event.version == now
            end = ends.get(event.run.info.run_id, "now" if is_now else "an unknown time")
            what = f"version {event.version} is champion until {end}"
        click.echo(f"{event.time}  {what}, run {event.run.info.run_id}: {event.text}")
    if not champions or champions[-1].version != now:
        found = f"version {now} has it" if now else "no version has it"
        click.echo(f"now{'':15}{found}: the alias {registry.CHAMPION} was changed by other means")


def _find_runs() -> list[Run]:
    """All runs of ``promote``, the oldest first, those of rollbacks included."""
    found = store.search_runs(f"tags.`{NAME}` != ''") + store.search_runs(
        "params.rollback = 'true'"
    )
    by_id = {run.info.run_id: run for run in found}
    return sorted(by_id.values(), key=lambda run: run.info.start_time)


def _registered_name(run: Run) -> str:
    """The name that a run moves aliases of; older rollbacks have no tag for it."""
    typed = run.data.params.get("name", AUTO)
    return run.data.tags.get(NAME, CENSUS.name if typed == AUTO else typed)


def find_events(name: str, past: list[Run]) -> list[Event]:
    """What runs did to the aliases of a name.

    Args:
        past: all runs of ``promote`` for the name, the oldest first. One that has not recorded
            which version it made champion is older than this record: the aliases before it tell.
    """
    events: list[Event] = []
    champion = previous = ""
    for run in past:
        tags, finished = run.data.tags, run.info.status == "FINISHED"
        if CANDIDATE not in tags and finished:
            version = tags.get(VERSION) or previous or "(unknown)"
            events.append(Event(run, version, f"rolled back from version {champion}"))
            champion, previous = version, ""
        elif finished and tags.get("verdict") == "passed":
            version = tags.get(VERSION) or _find_version(name, run)
            events.append(Event(run, version, f"passed, {_describe_improvement(run)}"))
            champion, previous = version, champion or previous
        elif "verdict" in tags:
            reason = tags.get("error", run.info.status).rpartition(": ")[2]
            events.append(Event(run, "", f"{tags[CANDIDATE]}, {one_line(reason)}"))
    return events


def _find_version(name: str, run: Run) -> str:
    """The version whose last verdict is of the run; else the address of the model."""
    condition = f"tags.`verdict.run_id` = '{run.info.run_id}'"
    found = mlflow.MlflowClient().search_model_versions(condition)
    numbers = [str(version.version) for version in found if version.name == name]
    return numbers[0] if numbers else f"of {run.data.tags[CANDIDATE]}"


def _describe_improvement(run: Run) -> str:
    """By how much the model was better than the champion before it."""
    text = store.recorded_value(run, "verdict.csv", "")
    checks = pd.read_csv(io.StringIO(str(text))) if text else pd.DataFrame(columns=["check"])
    found = checks[checks["check"] == "improvement"]
    return str(found["figure"].iloc[0]) if len(found) else "compared with no champion"
