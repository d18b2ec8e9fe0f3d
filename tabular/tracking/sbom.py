"""A software bill of materials of this process's environment, in the JSON of CycloneDX 1.6."""

import json
import platform
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

NAME = "sbom.cdx.json"  # in the model's folder; a name by which tools recognise the format


def write(name: str, digest: str) -> str:
    """The packages of the environment in which a model was trained; equal ones give equal text.

    The files of a package have no hashes: what is installed does not say from which of the files of
    its version, for which requirements.txt has hashes, it came.

    Args:
        name: of the model.
        digest: SHA-256 of its native file, hexadecimal.
    """
    model = {"type": "machine-learning-model", "bom-ref": "model", "name": name}
    python = {
        "type": "platform",
        "bom-ref": "python",
        "name": platform.python_implementation(),
        "version": platform.python_version(),
    }
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": model | {"hashes": [{"alg": "SHA-256", "content": digest}]}},
        "components": [python, *(_component(*package) for package in _installed())],
    }
    return json.dumps(document, indent=1) + "\n"


def _component(name: str, version: str) -> dict[str, Any]:
    purl = f"pkg:pypi/{name}@{quote(version)}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _installed() -> list[tuple[str, str]]:
    """Name and version of each package that can be imported, by name.

    They are the names of folders, as PyPA's specification "Recording installed projects" has them:
    ``importlib.metadata`` would read and parse a file for each.
    """
    found: dict[str, str] = {}
    for folder in map(Path, sys.path):
        for record in folder.glob("*.dist-info"):
            name, _, version = record.stem.rpartition("-")
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), version)
    return sorted(found.items())
