"""One run of a script in a process of its own, which the campaign starts and disturbs."""

import atexit
import importlib
import os
import resource
import sys
import tempfile
from dataclasses import dataclass

# The promotion floors during the campaign: its small models do not reach those of the table
FLOORS = {"accuracy": 0.0, "roc_auc": 0.0, "log_loss": 99.0}
ROWS = 400  # training rows of the campaign; it has half as many test rows


@dataclass(frozen=True)
class Job:
    """What to run and where.

    Attributes:
        script: train, sweep, score or promote.
        folder: the working directory.
        log: the file that gets what the script prints.
        digests: SHA-256 of the files that stand for UCI's.
        addresses: from which they are downloaded.
        max_file_bytes: no file may grow larger; None for no limit.
    """

    script: str
    arguments: list[str]
    environment: dict[str, str]
    folder: str
    log: str
    digests: dict[str, str]
    addresses: tuple[str, ...]
    max_file_bytes: int | None = None


def run(job: Job) -> None:
    """Become what ``python <script>.py <arguments>`` is in the folder, and exit as it does.

    Nothing heavy is imported here: the imports of the script are part of what is tested.
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
    from tabular.data.census import CENSUS

    census.DIGESTS, census.ADDRESSES = job.digests, job.addresses
    object.__setattr__(CENSUS, "floors", FLOORS)  # it is frozen, and imported by its name
    if "auto" in job.arguments:
        from tabular.data import synthetic

        synthetic.DEFAULT_ROWS = ROWS
    if job.max_file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job.max_file_bytes, job.max_file_bytes))
    sys.argv = [f"{job.script}.py", *job.arguments]
    try:
        cli.run(importlib.import_module(job.script).main)
    finally:
        atexit._run_exitfuncs()  # a process of multiprocessing would skip them
