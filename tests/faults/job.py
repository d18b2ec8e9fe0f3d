"""One run of a script, in a process of its own: what the campaign starts and strikes."""

import atexit
import importlib
import os
import resource
import sys
import tempfile
from dataclasses import dataclass

FLOORS = {"accuracy": 0.0, "roc_auc": 0.0, "log_loss": 99.0}  # few rows and trees pass promote
ROWS = 400  # training rows of the campaign, and half as many test rows


@dataclass(frozen=True)
class Job:
    """What to run, where, and what stands for UCI's files there."""

    script: str  # train, sweep, score or promote
    arguments: list[str]
    environment: dict[str, str]
    folder: str
    log: str
    digests: dict[str, str]
    addresses: tuple[str, ...]
    most_bytes: int | None = None  # no file may grow larger


def run(job: Job) -> None:
    """Become what ``python <script>.py <arguments>`` is in the folder; exits as that does.

    Nothing heavy is imported here: when the script does it is part of what is tested.
    """
    os.environ.clear()
    os.environ.update(job.environment)
    os.chdir(job.folder)
    tempfile.tempdir = None
    log = os.open(job.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    from tabular import cli
    from tabular.data import census

    census.DIGESTS, census.ADDRESSES = job.digests, job.addresses
    if "auto" in job.arguments:
        from tabular.data import synthetic

        synthetic.DEFAULT_ROWS = ROWS
    if job.most_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job.most_bytes, job.most_bytes))
    sys.argv = [f"{job.script}.py", *job.arguments]
    script = importlib.import_module(job.script)
    if job.script == "promote":
        script.FLOORS = FLOORS
    try:
        cli.run(script.main)
    finally:
        atexit._run_exitfuncs()  # a process of multiprocessing would leave them out
