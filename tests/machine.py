"""A clean machine: an empty home folder, and none of the caller's settings but package indexes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tabular.data import census

PACKAGES = ("PIP_", "UV_", "SSL_", "REQUESTS_CA_BUNDLE")  # the package index, and its certificates


class Machine:
    """A home folder with the data files in its cache, and a clone of the project.

    Args:
        project: the repository that is cloned.
        rows: the folder of the real data files.
        paths: further folders for the variable PATH.
    """

    def __init__(self, folder: Path, project: Path, rows: Path, *paths: Path):
        self.home, self.clone = folder / "ada", folder / "ada" / "census-mlflow"
        cache = self.home / ".cache" / "census-mlflow"
        cache.mkdir(parents=True)
        for name in census.DIGESTS:
            shutil.copy(rows / name, cache)
        paths = [*paths, Path(sys.base_prefix) / "bin", "/usr/local/bin", "/usr/bin", "/bin"]
        self.environment = {
            name: value for name, value in os.environ.items() if name.startswith(PACKAGES)
        }
        self.environment |= {
            "HOME": str(self.home),
            "PATH": ":".join(map(str, paths)),
            "LANG": "C.UTF-8",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        subprocess.run(["git", "clone", "-q", project, self.clone], check=True)

    def run(self, command: str, seconds: float = 600) -> str:
        """Run a command, in the environment that an earlier one made; returns what it prints."""
        script = f"[ -e .venv ] && . .venv/bin/activate\n{command}"
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.clone, env=self.environment, timeout=seconds,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        return done.stdout
