"""The campaign: faults drawn from a seed are injected one after the other and checked."""

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

from tests.faults import invariants, sandbox
from tests.faults.kinds import Kind, kinds
from tests.faults.reference import create_reference
from tests.faults.sandbox import SCRIPTS, Reference

FACTORS = (1.0, 0.6, 0.3, 0.0)  # after a fault that missed, the next attempt is earlier or harder


@dataclass(frozen=True)
class Fault:
    """A fault to inject: its number in the campaign, its kind, and the script that meets it."""

    number: int
    kind: Kind
    script: str


@dataclass
class FaultResult:
    """What a fault led to.

    Attributes:
        hit: whether the script met the fault; otherwise the result proves nothing.
        exit_codes: exit statuses of the processes that met it.
        violations: the invariants that did not hold; none if the fault was survived.
        log: what the scripts printed, where an invariant did not hold.
        seconds: duration, including the second attempt.
    """

    fault: Fault
    hit: bool
    exit_codes: list[int] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    log: str = ""
    seconds: float = 0.0


def draw_faults(seed: int, number: int) -> list[Fault]:
    """Draw every kind in turn, each with its scripts in a random order."""
    rng, known = random.Random(seed), kinds()
    scripts = {kind: _shuffled_for_ever(rng, kind.scripts) for kind in known}
    rounds = (rng.sample(known, len(known)) for _ in itertools.count())
    drawn = itertools.islice(itertools.chain.from_iterable(rounds), number)
    return [Fault(place, kind, next(scripts[kind])) for place, kind in enumerate(drawn)]


def _shuffled_for_ever(rng: random.Random, scripts: tuple[str, ...]) -> Iterator[str]:
    while True:
        yield from rng.sample(scripts, len(scripts))


def run(
    seed: int,
    number: int,
    only: Container[int] | None = None,
    report: Callable[[str], None] = print,
) -> list[FaultResult]:
    """Inject ``number`` faults, or those of them whose numbers are in ``only``."""
    results = []
    with (
        contextlib.redirect_stderr(io.StringIO()),  # what MLflow prints while the store is checked
        tempfile.TemporaryDirectory(prefix="census-faults-") as folder,
        create_reference(Path(folder).resolve()) as reference,
    ):
        for fault in draw_faults(seed, number):
            if only is None or fault.number in only:
                results.append(inject(reference, fault, seed))
                report(format_result(results[-1]))
    return results


def inject(reference: Reference, fault: Fault, seed: int) -> FaultResult:
    """Inject a fault, check the invariants, run the script again and check them once more."""
    start = time.perf_counter()
    for attempt, factor in enumerate(FACTORS):
        rng = random.Random(f"{seed} {fault.number}")
        stores = ["server", "sqlite", "sqlite", "sqlite"]
        store = rng.choice(stores) if fault.kind.store == "either" else fault.kind.store
        name = f"fault-{fault.number}-{attempt}"
        with sandbox.create_sandbox(reference, name, store, fault.script) as box:
            outcome = fault.kind.inject(box, fault.script, rng, factor)
            if not outcome.hit and factor:
                continue
            result = FaultResult(fault, outcome.hit, outcome.exit_codes)
            try:
                result.violations = invariants.violations(box, fault.script, outcome)
                again = invariants.violations_after_retry(box, fault.script, outcome)
                result.violations += [f"second attempt: {text}" for text in again]
            except Exception:  # a store that cannot even be read is lost
                result.violations.append(traceback.format_exc())
            if result.violations:
                result.log = box.log.read_text(errors="replace")
            result.seconds = time.perf_counter() - start
            return result
    raise AssertionError("the last factor returns")


def format_result(result: FaultResult) -> str:
    """A result as one line, followed by the violations and the end of the log if there are any."""
    fault = result.fault
    codes = ",".join(map(str, result.exit_codes))
    verdict = "lost" if result.violations else "survived" if result.hit else "missed"
    text = f"{fault.number:4} {fault.kind.name:29} {fault.script:8} {verdict:9}"
    text += f"exit {codes:7} {result.seconds:5.1f} s"
    if result.violations:
        text += "".join(f"\n     {violation}" for violation in result.violations)
        text += "".join(f"\n     | {line}" for line in result.log.splitlines()[-25:])
    return text


def summary(results: list[FaultResult]) -> str:
    """A table of the numbers injected, survived and lost, by kind and script."""
    injected, lost = Counter(), Counter()
    for result in results:
        if result.hit or result.violations:
            kind, script = result.fault.kind.name, result.fault.script
            for cell in itertools.product((kind, "all"), (script, "all")):
                injected[cell] += 1
                lost[cell] += bool(result.violations)
    columns = [*SCRIPTS, "all"]
    lines = [f"{'injected/survived/lost':29}" + "".join(f"{name:>11}" for name in columns)]
    for kind in [*dict.fromkeys(kind for kind, _ in injected if kind != "all"), "all"]:
        cells = []
        for script in columns:
            n, bad = injected[kind, script], lost[kind, script]
            cells.append(f"{f'{n}/{n - bad}/{bad}' if n else '-':>11}")
        lines.append(f"{kind:29}" + "".join(cells))
    if missed := len(results) - injected["all", "all"]:
        lines.append(f"{missed} came too late to have an effect")
    return "\n".join(lines)


def main(seed: int, number: int, only: Container[int] | None) -> int:
    """Run a campaign and print it; returns 1 if anything was lost."""
    start = time.perf_counter()
    results = run(seed, number, only, lambda text: print(text, flush=True))
    print(f"\n{summary(results)}\n{time.perf_counter() - start:.0f} s")
    return int(any(result.violations for result in results))
