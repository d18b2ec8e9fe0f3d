"""A campaign of thirty faults loses nothing; ``python -m tests.faults`` injects more of them."""

import tempfile

import pytest

from tests.faults import campaign
from tests.faults.kinds import kinds
from tests.faults.sandbox import SCRIPTS

SEED, NUMBER = 0, 30


def test_drawn_faults_depend_on_the_seed_alone_and_cover_every_kind_and_script():
    faults = campaign.draw_faults(SEED, NUMBER)
    drawn = [(fault.kind.name, fault.script) for fault in faults]
    assert drawn == [(f.kind.name, f.script) for f in campaign.draw_faults(SEED, NUMBER)]
    assert drawn != [(f.kind.name, f.script) for f in campaign.draw_faults(SEED + 1, NUMBER)]
    assert {kind for kind, _ in drawn} == {kind.name for kind in kinds()}
    assert {script for _, script in drawn} == {*SCRIPTS}


@pytest.mark.slow
def test_faults_of_every_kind_lose_nothing(monkeypatch):
    monkeypatch.delenv("TMPDIR")  # that of the tests is too long for the path of a socket
    monkeypatch.setattr(tempfile, "tempdir", None)
    results = campaign.run(SEED, NUMBER)
    lost = [campaign.format_result(result) for result in results if result.violations]
    assert not lost, "\n".join(lost)
    hit = {result.fault.kind.name for result in results if result.hit}
    assert hit == {kind.name for kind in kinds()}
