"""The bill of materials of the environment, by the rules of CycloneDX 1.6."""

import json
import re
import sys
from importlib import metadata

from tabular.tracking import sbom


def test_it_lists_the_packages_that_importlib_finds():
    listed = json.loads(sbom.write("people", "0" * 64))["components"][1:]
    expected = {
        (re.sub(r"[-_.]+", "-", package.metadata["Name"]).lower(), package.version)
        for package in metadata.distributions()
    }
    assert {(one["name"], one["version"]) for one in listed} == expected
    assert [one["name"] for one in listed] == sorted(one["name"] for one in listed)


def test_it_has_what_the_schema_requires():
    """`cyclonedx-python-lib`, which is not among the requirements, validates such a document."""
    document = json.loads(sbom.write("people", "0" * 64))
    assert (document["bomFormat"], document["specVersion"], document["version"]) == (
        "CycloneDX", "1.6", 1,
    )  # fmt: skip
    model = document["metadata"]["component"]
    assert model["type"] == "machine-learning-model"
    assert model["hashes"] == [{"alg": "SHA-256", "content": "0" * 64}]
    components = [model, *document["components"]]
    assert all(one["type"] and one["name"] for one in components)
    references = [one["bom-ref"] for one in components]
    assert len({*references}) == len(references)
    for one in document["components"][1:]:
        assert re.fullmatch(r"pkg:pypi/[a-z0-9-]+@[\w.%-]+", one["purl"])


def test_equal_environments_give_equal_text_and_the_first_folder_of_the_path_counts(
    tmp_path, monkeypatch
):
    for folder, version in (("a", "1.0+cu12"), ("b", "2.0")):
        (tmp_path / folder / f"My_Package.x-{version}.dist-info").mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "a"), str(tmp_path / "b"), "nowhere"])
    text = sbom.write("people", "")
    assert text == sbom.write("people", "")
    (_, package) = json.loads(text)["components"]
    assert package["purl"] == "pkg:pypi/my-package-x@1.0%2Bcu12"
    assert package["version"] == "1.0+cu12"
