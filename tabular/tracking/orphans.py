"""Runs that read RUNNING although the process that wrote them is gone."""

import mlflow
from mlflow.entities import Run, RunTag

from tabular.tracking import process, runs, store

PARENT = "mlflow.parentRunId"  # MLflow's tag of a child run


def find_running(experiment_id: str) -> tuple[list[Run], list[Run]]:
    """Find the runs of an experiment that read RUNNING.

    Returns:
        Those whose process is certainly gone, and of the others those that are no child run of a
        sweep.
    """
    orphaned, others = [], []
    for run in store.search_runs("attributes.status = 'RUNNING'", experiment_id):
        author = _find_author(run)
        if process.is_gone(author.data.tags.get(runs.PROCESS, "")):
            orphaned.append(run)
        elif author is run:
            others.append(run)
    return orphaned, others


def _find_author(run: Run) -> Run:
    """The run that names the process which writes ``run``: the sweep of a child run, else itself.

    A run of a script may be nested too, in the run of a notebook that called
    ``mlflow.projects.run``.
    """
    if runs.PROCESS in run.data.tags:
        return run
    parent = store.find_run(run.data.tags.get(PARENT, ""))
    return parent if parent and runs.PROCESS in parent.data.tags else run


def end_orphaned(orphaned: list[Run]) -> None:
    """End runs whose process is gone."""
    for run in orphaned:
        kill(run, "its process was gone")


def kill(run: Run, reason: str) -> None:
    """End a run as KILLED, with the reason in the tag ``ended_by`` and in its description."""
    client, tags = mlflow.MlflowClient(), {"ended_by": reason}
    tags[runs.DESCRIPTION] = run.data.tags.get(runs.DESCRIPTION) or f"**ended by**: {reason}"
    client.log_batch(run.info.run_id, tags=[RunTag(*tag) for tag in tags.items()])
    client.set_terminated(run.info.run_id, "KILLED")
