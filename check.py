"""Look before a run whether it can succeed; one line an item, and the command that mends it.

python check.py
python check.py --fix true --device cuda
"""

import re
import tempfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from uuid import uuid4

import click
from packaging.requirements import Requirement

from tabular import cancel, cli
from tabular.errors import UserError, WorkFailed, one_line

REQUIREMENTS = Path(__file__).resolve().parent / "requirements.txt"


@click.command(cls=cli.Command, help=__doc__)
@cli.option("data", None, "auto", "Rows to look for, as of main.")
@cli.option("device", click.Choice(["cpu", "cuda"]), "cpu", "cuda looks for a GPU.")
@cli.option("fix", click.BOOL, "false", "true ends runs whose process is certainly gone.")
def main(data, device, fix) -> None:
    right = [tell("versions", versions), tell("data", lambda: rows(data))]
    right += [tell("device", lambda: gpu(device)), tell("store", store)]
    if right[-1]:  # else there is nothing to ask
        right += [tell("experiment", experiment), tell("artifacts", artifacts)]
        right += [tell("runs", lambda: runs(fix))]
    if not all(right):
        raise WorkFailed("a run would not succeed, or not be found again")


def tell(name: str, look: Callable[[], str]) -> bool:
    """Print what was found; False where it is wrong."""
    try:
        click.echo(f"ok     {name}: {look()}")
        return True
    except (UserError, WorkFailed) as error:
        click.echo(f"WRONG  {name}: {one_line(error.format_message())}")
        return False


def versions() -> str:
    """Are the pinned packages installed?"""
    lines = re.findall(r"^\w[^\\\n]*", REQUIREMENTS.read_text(), re.M)
    pinned = [line for line in map(Requirement, lines) if not line.marker or line.marker.evaluate()]
    different = []
    for line in pinned:
        try:
            found = version(line.name)
        except PackageNotFoundError:
            found = "missing"
        if not line.specifier.contains(found):
            different.append(f"{line.name} is {found}, pinned {line.specifier}")
    if different:
        few = "; ".join(different[:3]) + ("; ..." if len(different) > 3 else "")
        raise UserError(f"{few}: uv pip install -r {REQUIREMENTS.name}")
    return f"{len(pinned)} packages as pinned"


def store() -> str:
    """Does the tracking store answer, and will it do so from another folder?"""
    from tabular.tracking import store

    uri = store.tracking_uri()
    store.require_reachable()
    try:
        store.current_experiment()
    except Exception as error:  # what a database's driver raises is its own
        line = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise UserError(f"{store.describe(uri)} cannot be used: {line}") from None
    if match := re.match(r"(\w+:///)(?!/)(.+)", uri):
        path = Path(match[2]).resolve()
        raise UserError(
            f"{uri} is relative to this folder, and `mlflow run` may work in another one: "
            f"export MLFLOW_TRACKING_URI={match[1]}{path}"
        )
    return store.describe(uri)


def experiment() -> str:
    """Is there an experiment to write to, and can this machine reach its artifacts?"""
    from tabular.tracking import store

    found = store.current_experiment()
    location = found.artifact_location
    store.require_artifacts(found)
    temporary = re.escape(str(Path(tempfile.gettempdir()).resolve()))
    if re.match(rf"(file:(//)?)?{temporary}/tmp[a-z0-9_]{{8}}/", location):
        raise UserError(
            f"{found.name} keeps artifacts in {location}, a clone that MLflow removes: choose "
            "another with MLFLOW_EXPERIMENT_NAME"
        )
    return f"{found.name}, artifacts in {location}"


def artifacts() -> str:
    """Write, read and delete."""
    from tabular.tracking import store

    location = store.current_experiment().artifact_location
    try:
        n_bytes = store.artifact_round_trip(f"{location}/check-{uuid4().hex}")
    except Exception as error:  # whatever the library of the artifact store raises
        if getattr(getattr(error, "response", None), "status_code", None) == 403:
            raise UserError(f"{location} {store.explain_http_status(403)}") from None
        line = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise UserError(
            f"{location} cannot be written, read and cleared: {line}; is the server started with "
            "--artifacts-destination, and may it use that?"
        ) from None
    return f"{n_bytes} bytes written, read and deleted in {location}"


def runs(fix: bool) -> str:
    """Does a run read RUNNING although its process is gone?"""
    from tabular.sweep import child_runs
    from tabular.tracking import store

    dead, alive = child_runs.left_running(store.current_experiment().experiment_id)
    ids = ", ".join(run.info.run_id for run in dead[:3]) + (", ..." if len(dead) > 3 else "")
    if dead and not fix:
        raise UserError(
            f"{len(dead)} read RUNNING though their process is gone ({ids}): check.py --fix true"
        )
    child_runs.end(dead)
    ended = f"{len(dead)} ended whose process was gone; " if dead else ""
    return f"{ended}{len(alive)} read RUNNING and may be alive"


def rows(data: str) -> str:
    """Are the rows there, and are they what they should be?"""
    with cancel.uninterrupted():
        from tabular.data import sources

    found = sources.load(data)
    if found.warning:
        raise UserError(f"only synthetic rows: {found.warning}")
    return f"{found.origin}, from {found.source}, digest {found.digest[:8]}"


def gpu(device: str) -> str:
    """Is there what is to train the trees?"""
    from tabular.model import boosting

    boosting.require_device(device)
    return device


if __name__ == "__main__":
    cli.run(main)
