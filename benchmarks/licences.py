"""Write docs/licences.md: the licence that the metadata of each pinned package states.

python -m benchmarks.licences
"""

import platform
import re
from importlib.metadata import Distribution, distribution
from pathlib import Path

import click
from packaging.requirements import Requirement

PROJECT = Path(__file__).resolve().parent.parent
PAGE = PROJECT / "docs" / "licences.md"
MIT = "Permission is hereby granted, free of charge, to any person obtaining a copy"
HEAD = """# Licences

What `requirements.txt` installs, and the licence that each package's metadata states.
`python -m benchmarks.licences` writes this page; a test holds it to the installed metadata.
Where a version depends on Python, it is the one for Python {python}.
`requirements-gpu.txt` adds NVIDIA's NCCL (`nvidia-nccl-cu12`), whose licence is proprietary.
A name in `code` is the official expression (SPDX); other words are the package's own.

| package | version | licence |
| --- | --- | --- |
"""


def pinned() -> tuple[list[Requirement], list[Requirement]]:
    """The packages installed here, and those of other systems or Python versions only."""
    lines = re.findall(r"^\w[^\\\n]*", (PROJECT / "requirements.txt").read_text(), re.M)
    found = [*map(Requirement, lines)]
    here = [line for line in found if not line.marker or line.marker.evaluate()]
    names = {line.name for line in here}
    return here, [line for line in found if line.name not in names]


def line_of(name: str) -> str:
    """The row of a package in the table."""
    package = distribution(name)
    return f"| {name} | {package.version} | {licence(package)} |\n"


def licence(package: Distribution) -> str:
    """The licence expression, or the field of one line, or the classifiers, or the licence file."""
    about = package.metadata
    if expression := about.get("License-Expression"):
        return f"`{expression}`"
    field = about.get("License", "").strip()
    kinds = [line.split(" :: ") for line in about.get_all("Classifier", [])]
    kinds = [kind[-1] for kind in kinds if kind[0] == "License" and kind[-1] != "OSI Approved"]
    if kinds and (len(kinds) > 1 or not field or "\n" in field):
        return ", ".join(kinds)
    if field and "\n" not in field:
        return field
    files = [file for file in package.files or [] if re.match("licen[cs]e", file.name, re.I)]
    text = " ".join(" ".join(file.read_text().split()) for file in files[:1])
    return "MIT License, by the text of its file" if MIT in text else "not stated"


def page() -> str:
    """The content of the page."""
    here, elsewhere = pinned()
    lines = "".join(line_of(line.name) for line in here)
    others = ", ".join(f"{line.name} {line.specifier}" for line in elsewhere)
    head = HEAD.format(python=".".join(platform.python_version_tuple()[:2]))
    return f"{head}{lines}\nOnly on other systems, and not looked at here: {others}.\n"


@click.command(help=__doc__)
def main() -> None:
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
