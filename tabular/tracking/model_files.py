"""The files of a logged model, and their digests, which the store keeps apart from the files."""

import hashlib
import tempfile
from pathlib import Path

import mlflow

from tabular import cancel

FILES = "model.files"  # the tag of a logged model with the digests of its files


def list_digests(folder: Path) -> str:
    """SHA-256 and path of each file below a folder, by path, in the format of ``sha256sum``."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    return "".join(
        f"{sha256(path)}  {name}\n" for name, path in sorted(files.items()) if path.is_file()
    )


def sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def record(model_id: str, digests: str) -> None:
    """Record the digests of a logged model's files."""
    mlflow.MlflowClient().set_logged_model_tags(model_id, {FILES: digests})


def add(model_id: str, name: str, text: str) -> None:
    """Add a file of text to a logged model, and its digest to the record."""
    client = mlflow.MlflowClient()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_text(text, encoding="utf-8", newline="\n")
        client.log_model_artifacts(model_id, folder)
        digests = list_digests(Path(folder))
    record(model_id, client.get_logged_model(model_id).tags.get(FILES, "") + digests)


def find_changed(digests: str, folder: Path) -> list[str]:
    """Which files of a folder are missing, or differ from the recorded digests, in words.

    Files that were added are not looked for: Python writes bytecode beside a model's code.
    """
    changed = []
    for line in digests.splitlines():
        cancel.check()
        digest, _, name = line.partition("  ")
        path = folder / name
        if not path.is_file():
            changed.append(f"{name} is missing")
        elif sha256(path) != digest:
            changed.append(f"{name} differs")
    return changed
