"""Faults drawn by a seed, one after the other; after each everything is looked at."""

import contextlib
import io
import itertools
import random
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults import invariants, scene, undisturbed
from tests.faults.kinds import Kind, kinds
from tests.faults.scene import SCRIPTS, World

FACTORS = (1.0, 0.6, 0.3, 0.0)  # of a fault that missed, the next one strikes earlier or harder


@dataclass(frozen=True)
class Fault:
    """One fault to come."""

    number: int
    kind: Kind
    script: str


@dataclass
class TrialResult:
    """What became of it.

    Attributes:
        struck: whether the script met it; else it proves nothing.
        codes: exit statuses of those that did.
        broken: what did not hold; nothing: it was survived.
        seconds: that it took, second attempt and all.
    """

    fault: Fault
    struck: bool
    codes: list[int] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    log: str = ""
    seconds: float = 0.0


def plan(seed: int, number: int) -> list[Fault]:
    """Every kind in turn, each in a random order of its scripts."""
    draw, known = random.Random(seed), kinds()
    decks = {kind: _deck(draw, kind.scripts) for kind in known}
    rounds = (draw.sample(known, len(known)) for _ in itertools.count())
    drawn = itertools.islice(itertools.chain.from_iterable(rounds), number)
    return [Fault(place, kind, next(decks[kind])) for place, kind in enumerate(drawn)]


def _deck(draw: random.Random, scripts: tuple[str, ...]) -> Iterator[str]:
    while True:
        yield from draw.sample(scripts, len(scripts))


def run(
    seed: int,
    number: int,
    only: Container[int] | None = None,
    say: Callable[[str], None] = print,
) -> list[TrialResult]:
    """Let ``number`` faults strike, or those among them that have the numbers ``only``."""
    outcomes = []
    with (
        contextlib.redirect_stderr(io.StringIO()),  # MLflow's remarks on what is looked at
        tempfile.TemporaryDirectory(prefix="census-faults-") as folder,
        undisturbed.world(Path(folder).resolve()) as world,
    ):
        for fault in plan(seed, number):
            if only is None or fault.number in only:
                outcomes.append(inject(world, fault, seed))
                say(line(outcomes[-1]))
    return outcomes


def inject(world: World, fault: Fault, seed: int) -> TrialResult:
    """Let a fault strike, look at what it left, try again and look once more."""
    start = time.perf_counter()
    for factor in FACTORS:
        draw = random.Random(f"{seed} {fault.number}")
        stores = ["server", "sqlite", "sqlite", "sqlite"]
        store = draw.choice(stores) if fault.kind.store == "either" else fault.kind.store
        name = f"fault-{fault.number}-{FACTORS.index(factor)}"
        with scene.scene(world, name, store, fault.script) as place:
            ended = fault.kind.strike(place, fault.script, draw, factor)
            if not ended.struck and factor:
                continue
            outcome = TrialResult(fault, ended.struck, ended.codes)
            try:
                outcome.broken = invariants.broken(place, fault.script, ended)
                after = invariants.broken_afterwards(place, fault.script, ended)
                outcome.broken += [f"second attempt: {text}" for text in after]
            except Exception:  # what cannot even be looked at is lost
                outcome.broken.append(traceback.format_exc())
            if outcome.broken:
                outcome.log = place.log.read_text(errors="replace")
            outcome.seconds = time.perf_counter() - start
            return outcome
    raise AssertionError("the last factor returns")


def line(outcome: TrialResult) -> str:
    """An outcome in a line, or in as many as it takes to understand a loss."""
    fault = outcome.fault
    codes = ",".join(map(str, outcome.codes))
    verdict = "lost" if outcome.broken else "survived" if outcome.struck else "missed"
    text = f"{fault.number:4} {fault.kind.name:29} {fault.script:8} {verdict:9}"
    text += f"exit {codes:7} {outcome.seconds:5.1f} s"
    if outcome.broken:
        text += "".join(f"\n     {broken}" for broken in outcome.broken)
        text += "".join(f"\n     | {words}" for words in outcome.log.splitlines()[-25:])
    return text


def summary(outcomes: list[TrialResult]) -> str:
    """Injected, survived and lost, by kind and script."""
    injected, lost = Counter(), Counter()
    for outcome in outcomes:
        if outcome.struck or outcome.broken:
            cell = outcome.fault.kind.name, outcome.fault.script
            injected[cell] += 1
            lost[cell] += bool(outcome.broken)
    head = f"{'injected/survived/lost':29}" + "".join(f"{name:>11}" for name in [*SCRIPTS, "all"])
    lines = [head]
    for kind in [*dict.fromkeys(kind for kind, _ in injected), "all"]:
        cells = []
        for script in [*SCRIPTS, "all"]:
            here = [
                cell for cell in injected if kind in (cell[0], "all") and script in (cell[1], "all")
            ]
            n, bad = sum(injected[cell] for cell in here), sum(lost[cell] for cell in here)
            cells.append(f"{f'{n}/{n - bad}/{bad}' if n else '-':>11}")
        lines.append(f"{kind:29}" + "".join(cells))
    if missed := len(outcomes) - sum(injected.values()):
        lines.append(f"{missed} came too late to mean anything")
    return "\n".join(lines)


def main(seed: int, number: int, only: Container[int] | None) -> int:
    """Run a campaign and print it; 1 where anything was lost."""
    start = time.perf_counter()
    outcomes = run(seed, number, only, lambda text: print(text, flush=True))
    print(f"\n{summary(outcomes)}\n{time.perf_counter() - start:.0f} s")
    return int(any(outcome.broken for outcome in outcomes))
