"""What must hold after any fault, and after a second attempt without it."""

import hashlib
import io
import signal

import mlflow
import numpy as np
import pandas as pd
from mlflow.entities import Run

from tabular.sweep import child_runs
from tabular.tracking import registry, store
from tests.faults.kinds import Ended
from tests.faults.scene import BEFORE, Scene, answer

END = ("error", "ended_by")  # tags that say what ended a run


def broken(place: Scene, script: str, ended: Ended) -> list[str]:
    """What does not hold, one line each."""
    found = statuses(place, script, ended)
    found += cache(place)
    found += output(place, ended) if script == "score" else []
    return found + (champion(place) if script == "promote" else [])


def broken_afterwards(place: Scene, script: str, ended: Ended) -> list[str]:
    """Try again without the fault, and look at everything; ``ended`` is the first attempt."""
    finished = {run.info.run_id: run for run in place.runs() if run.info.status == "FINISHED"}
    found = []
    if script != "sweep":  # which does that by itself
        mend(place)
    code = place.run(place.job(script))
    again = Ended([code], succeeds=1, signals=ended.signals)
    if code == 2 and script == "promote" and stands(place):  # it was done before the fault
        again.succeeds = 0
    found += broken(place, script, again)
    left = {run.info.run_id: run for run in place.runs()}
    for run_id in finished:
        if run_id not in left or left[run_id].info.status != "FINISHED":
            found.append(f"lost: run {run_id} was FINISHED")
    if script == "sweep" and not code:
        found += taken_over(place, finished)
    if script == "promote" and not stands(place):
        found.append("the candidate is not the champion")
    if script == "score" and place.output.read_bytes() != place.world.scored:
        found.append("the output is not the new one")
    return found


def mend(place: Scene) -> None:
    """What ``check.py --fix true`` does."""
    place.look()
    experiment = mlflow.get_experiment_by_name(place.experiment)
    child_runs.end(child_runs.left_running(experiment.experiment_id)[0])


def statuses(place: Scene, script: str, ended: Ended) -> list[str]:
    """Runs say truly how they ended, and what is FINISHED is whole."""
    found, runs = [], place.runs()
    kids = [run for run in runs if child_runs.PARENT in run.data.tags]
    tops = [run for run in runs if child_runs.PARENT not in run.data.tags]
    allowed = {0, 1, 2} | {128 + n for n in ended.signals} | {-n for n in ended.signals}
    if not set(ended.codes) <= allowed:
        found.append(f"exit statuses are {ended.codes}")
    successes = ended.codes.count(0)
    if successes < ended.succeeds:
        found.append(f"exit statuses are {ended.codes}, {ended.succeeds} should be 0")
    whole = [run for run in tops if run.info.status == "FINISHED"]
    if len(whole) < successes:
        found.append(f"{successes} processes succeeded, {len(whole)} runs are FINISHED")
    for run in runs:
        what = f"{'child' if run in kids else 'run'} {run.info.run_id}"
        status, tags = run.info.status, run.data.tags
        if status == "RUNNING" and not ended.may_run:
            found.append(f"{what} reads RUNNING")
        if status == "FAILED" and not any(tag in tags for tag in END):
            found.append(f"{what} is FAILED without a reason")
        if status == "KILLED" and "ended_by" not in tags:
            found.append(f"{what} is KILLED without a reason")
    found += [line for run in whole for line in incomplete(place, script, run)]
    for run in kids:
        expected = place.world.children.get(run.data.tags.get(child_runs.CONFIG, ""))
        if run.info.status == "FINISHED" and expected and run.data.metrics != expected:
            found.append(f"child {run.info.run_id} is FINISHED with other results")
    return found


def incomplete(place: Scene, script: str, run: Run) -> list[str]:
    """What a FINISHED run lacks."""
    if script == "score":
        new = place.output.read_bytes() == place.world.scored
        return [] if new else [f"run {run.info.run_id} is FINISHED, its output is not there"]
    if script == "promote":
        new = stands(place)
        return [] if new else [f"run {run.info.run_id} is FINISHED, its model is no champion"]
    place.look()
    digest = run.data.tags.get("model.digest")
    try:
        answers = answer(place.world, f"runs:/{run.info.run_id}/model")
    except Exception as error:
        return [f"run {run.info.run_id} is FINISHED, its model does not load: {error!r:.300}"]
    if run.data.tags["data.origin"] != "uci":
        return [] if np.isfinite(answers).all() else ["a model answers nonsense"]
    if digest != place.world.results[script]:
        return [f"run {run.info.run_id} is FINISHED with another model"]
    if not np.array_equal(answers, place.world.answers[digest]):
        return [f"run {run.info.run_id} is FINISHED, its model answers otherwise"]
    return []


def cache(place: Scene) -> list[str]:
    """A downloaded file is the whole one, or not there."""
    return [
        f"{name} in the cache is not whole"
        for name, digest in place.world.digests.items()
        if (path := place.cache / name).exists()
        and hashlib.sha256(path.read_bytes()).hexdigest() != digest
    ]


def output(place: Scene, ended: Ended) -> list[str]:
    """The output is the old one or the whole new one; only SIGKILL leaves a part."""
    found = []
    if place.output.read_bytes() not in (BEFORE, place.world.scored):
        found.append("the output is neither the old nor the new one")
    others = [path for path in place.output.parent.iterdir() if path != place.output]
    if others and signal.SIGKILL not in ended.signals:
        found.append(f"left behind: {others[0].name}")
    return found


def champion(place: Scene) -> list[str]:
    """The champion is the old or the new one, loads and answers as it should."""
    place.look()
    version = registry.version_by_alias(place.name, registry.CHAMPION)
    if not version:
        return ["there is no champion"]
    made_by = [uri.split("/")[1] for uri in place.world.models]
    if version.run_id not in made_by:
        return [f"the champion is of run {version.run_id}"]
    digest = store.find_run(version.run_id).data.tags["model.digest"]
    answers = answer(place.world, f"models:/{place.name}@{registry.CHAMPION}")
    if not np.array_equal(answers, place.world.answers[digest]):
        return ["the champion answers otherwise"]
    previous = registry.version_by_alias(place.name, registry.PREVIOUS)
    if version.run_id == made_by[1] and not previous:
        return ["the old champion is not the previous one"]
    return []


def stands(place: Scene) -> bool:
    """Whether the candidate is champion."""
    place.look()
    version = registry.version_by_alias(place.name, registry.CHAMPION)
    return version is not None and version.run_id == place.world.models[1].split("/")[1]


def taken_over(place: Scene, finished: dict[str, Run]) -> list[str]:
    """The new sweep's table holds every point, those that had been finished as they were."""
    tops = [run for run in place.runs() if child_runs.PARENT not in run.data.tags]
    last = max(tops, key=lambda run: run.info.start_time)
    text = mlflow.artifacts.load_text(f"runs:/{last.info.run_id}/sweep.csv")
    board = pd.read_csv(io.StringIO(text))
    listed = {*board["run_id"].dropna()}
    configs = {
        run.data.tags[child_runs.CONFIG] for run in place.runs() if run.info.run_id in listed
    }
    found = []
    if configs != {*place.world.children} or len(listed) != len(configs):
        found.append(f"the table has {len(listed)} points of {len(place.world.children)}")
    known = {
        run.data.tags[child_runs.CONFIG]
        for run in finished.values()
        if run.data.tags.get(child_runs.CONFIG) in place.world.children
    }
    taken = {
        run.data.tags[child_runs.CONFIG] for run_id, run in finished.items() if run_id in listed
    }
    if known - taken:
        found.append(f"{len(known - taken)} finished points were computed again")
    return found
