"""Thirty faults of every kind: whatever breaks, nothing is lost.

``python -m tests.faults`` lets as many strike as one likes.
"""

import tempfile

import pytest

from tests.faults import campaign
from tests.faults.kinds import kinds
from tests.faults.scene import SCRIPTS

SEED, NUMBER = 0, 30


def test_a_plan_depends_on_its_seed_alone_and_holds_every_kind_and_script():
    faults = campaign.plan(SEED, NUMBER)
    drawn = [(fault.kind.name, fault.script) for fault in faults]
    assert drawn == [(f.kind.name, f.script) for f in campaign.plan(SEED, NUMBER)]
    assert drawn != [(f.kind.name, f.script) for f in campaign.plan(SEED + 1, NUMBER)]
    assert {kind for kind, _ in drawn} == {kind.name for kind in kinds()}
    assert {script for _, script in drawn} == {*SCRIPTS}


@pytest.mark.slow
def test_faults_of_every_kind_lose_nothing(monkeypatch):
    monkeypatch.delenv("TMPDIR")  # pytest's own is too long for the path of a socket
    monkeypatch.setattr(tempfile, "tempdir", None)
    outcomes = campaign.run(SEED, NUMBER)
    lost = [campaign.line(outcome) for outcome in outcomes if outcome.broken]
    assert not lost, "\n".join(lost)
    met = {outcome.fault.kind.name for outcome in outcomes if outcome.struck}
    assert met == {kind.name for kind in kinds()}
