"""The invariants that hold after any fault, and after a second attempt without one."""

import hashlib
import io
import signal

import mlflow
import numpy as np
import pandas as pd
from mlflow.entities import Run

from tabular.sweep import child_runs
from tabular.tracking import orphans, registry, store
from tests.faults.kinds import Outcome
from tests.faults.sandbox import OLD_OUTPUT, Sandbox, predict

REASONS = ("error", "ended_by")  # the tags that say why a run ended


def violations(sandbox: Sandbox, script: str, outcome: Outcome) -> list[str]:
    """The invariants that do not hold, one line each."""
    found = exit_code_violations(outcome) + run_violations(sandbox, script, outcome)
    found += cache_violations(sandbox)
    if script == "score":
        found += output_violations(sandbox, outcome)
    if script == "promote":
        found += champion_violations(sandbox)
    return found


def violations_after_retry(sandbox: Sandbox, script: str, first: Outcome) -> list[str]:
    """Run the script again without the fault, and check everything; ``first`` is what it met."""
    finished = {run.info.run_id: run for run in sandbox.runs() if run.info.status == "FINISHED"}
    if script != "sweep":  # a sweep does this itself
        end_orphaned_runs(sandbox)
    code = sandbox.run(sandbox.job(script))
    again = Outcome([code], min_successes=1, signals=first.signals)
    if code == 2 and script == "promote" and is_promoted(sandbox):  # it was done before the fault
        again.min_successes = 0
    found = violations(sandbox, script, again)
    statuses = {run.info.run_id: run.info.status for run in sandbox.runs()}
    for run_id in finished:
        if statuses.get(run_id) != "FINISHED":
            found.append(f"run {run_id} was FINISHED and is lost")
    if script == "sweep" and not code:
        found += reuse_violations(sandbox, finished)
    if script == "promote" and not is_promoted(sandbox):
        found.append("the candidate is not the champion")
    if script == "score" and sandbox.output.read_bytes() != sandbox.reference.scored:
        found.append("the output is not the new one")
    return found


def end_orphaned_runs(sandbox: Sandbox) -> None:
    """Do what ``check.py --fix true`` does."""
    sandbox.use_store()
    experiment = mlflow.get_experiment_by_name(sandbox.experiment)
    orphans.end_orphaned(orphans.find_running(experiment.experiment_id)[0])


def exit_code_violations(outcome: Outcome) -> list[str]:
    """Exit statuses are documented ones, and enough processes succeeded."""
    allowed = {0, 1, 2} | {128 + n for n in outcome.signals} | {-n for n in outcome.signals}
    found = []
    if not {*outcome.exit_codes} <= allowed:
        found.append(f"exit statuses are {outcome.exit_codes}")
    if outcome.exit_codes.count(0) < outcome.min_successes:
        found.append(f"exit statuses are {outcome.exit_codes}, {outcome.min_successes} must be 0")
    return found


def run_violations(sandbox: Sandbox, script: str, outcome: Outcome) -> list[str]:
    """The status of every run is true, and a FINISHED run is complete."""
    found, runs, children = [], sandbox.runs(), sandbox.children()
    finished = [run for run in sandbox.top_runs() if run.info.status == "FINISHED"]
    if len(finished) < (successes := outcome.exit_codes.count(0)):
        found.append(f"{successes} processes succeeded, {len(finished)} runs are FINISHED")
    for run in runs:
        name, status, tags = f"run {run.info.run_id}", run.info.status, run.data.tags
        if status == "RUNNING" and not outcome.may_stay_running:
            found.append(f"{name} reads RUNNING")
        if status == "FAILED" and not any(tag in tags for tag in REASONS):
            found.append(f"{name} is FAILED without a reason")
        if status == "KILLED" and "ended_by" not in tags:
            found.append(f"{name} is KILLED without a reason")
    found += [line for run in finished for line in completeness_violations(sandbox, script, run)]
    for run in children:
        expected = sandbox.reference.children.get(run.data.tags.get(child_runs.CONFIG, ""))
        if run.info.status == "FINISHED" and expected and run.data.metrics != expected:
            found.append(f"child {run.info.run_id} is FINISHED with other results")
    return found


def completeness_violations(sandbox: Sandbox, script: str, run: Run) -> list[str]:
    """What a FINISHED run lacks."""
    name, reference = f"run {run.info.run_id} is FINISHED", sandbox.reference
    if script == "score":
        written = sandbox.output.read_bytes() == reference.scored
        return [] if written else [f"{name}, but its output is missing"]
    if script == "promote":
        return [] if is_promoted(sandbox) else [f"{name}, but its model is not the champion"]
    sandbox.use_store()
    digest = run.data.tags.get("model.digest")
    try:
        predictions = predict(reference, f"runs:/{run.info.run_id}/model")
    except Exception as error:
        return [f"{name}, but its model does not load: {error!r:.300}"]
    if run.data.tags["data.origin"] != "uci":
        return [] if np.isfinite(predictions).all() else [f"{name}, but it predicts NaN"]
    if digest != reference.model_digests[script]:
        return [f"{name} with another model"]
    if not np.array_equal(predictions, reference.predictions[digest]):
        return [f"{name}, but its model predicts something else"]
    return []


def cache_violations(sandbox: Sandbox) -> list[str]:
    """A downloaded file is complete or missing."""
    return [
        f"{name} in the cache is incomplete"
        for name, digest in sandbox.reference.digests.items()
        if (path := sandbox.cache / name).exists()
        and hashlib.sha256(path.read_bytes()).hexdigest() != digest
    ]


def output_violations(sandbox: Sandbox, outcome: Outcome) -> list[str]:
    """The output is the old one or the complete new one; only SIGKILL leaves a partial file."""
    found = []
    if sandbox.output.read_bytes() not in (OLD_OUTPUT, sandbox.reference.scored):
        found.append("the output is neither the old nor the new one")
    others = [path for path in sandbox.output.parent.iterdir() if path != sandbox.output]
    if others and signal.SIGKILL not in outcome.signals:
        found.append(f"left behind: {others[0].name}")
    return found


def champion_violations(sandbox: Sandbox) -> list[str]:
    """The champion is the old or the new model, loads, and predicts what it should."""
    sandbox.use_store()
    version = registry.version_by_alias(sandbox.name, registry.CHAMPION)
    if not version:
        return ["there is no champion"]
    run_ids = [uri.split("/")[1] for uri in sandbox.reference.models]
    if version.run_id not in run_ids:
        return [f"the champion is of run {version.run_id}"]
    digest = store.find_run(version.run_id).data.tags["model.digest"]
    predictions = predict(sandbox.reference, f"models:/{sandbox.name}@{registry.CHAMPION}")
    if not np.array_equal(predictions, sandbox.reference.predictions[digest]):
        return ["the champion predicts something else"]
    previous = registry.version_by_alias(sandbox.name, registry.PREVIOUS)
    if version.run_id == run_ids[1] and not previous:
        return ["the old champion is not the previous one"]
    return []


def is_promoted(sandbox: Sandbox) -> bool:
    """Whether the candidate is the champion."""
    sandbox.use_store()
    version = registry.version_by_alias(sandbox.name, registry.CHAMPION)
    return version is not None and version.run_id == sandbox.reference.models[1].split("/")[1]


def reuse_violations(sandbox: Sandbox, finished: dict[str, Run]) -> list[str]:
    """The second sweep's table lists every configuration, and finished children are reused."""
    last = max(sandbox.top_runs(), key=lambda run: run.info.start_time)
    text = mlflow.artifacts.load_text(f"runs:/{last.info.run_id}/sweep.csv")
    listed = {*pd.read_csv(io.StringIO(text))["run_id"].dropna()}
    expected, found = {*sandbox.reference.children}, []
    configs = {run.info.run_id: run.data.tags.get(child_runs.CONFIG) for run in sandbox.children()}
    in_table = {config for run_id, config in configs.items() if run_id in listed}
    if in_table != expected or len(listed) != len(expected):
        found.append(f"the table lists {len(listed)} configurations of {len(expected)}")
    known = {run_id: configs[run_id] for run_id in finished if configs.get(run_id) in expected}
    reused = {config for run_id, config in known.items() if run_id in listed}
    if again := {*known.values()} - reused:
        found.append(f"{len(again)} finished configurations were computed again")
    return found
