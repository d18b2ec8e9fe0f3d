"""The commands of the README and of the pages on commands print what these pages show."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.helpers import PROJECT, README, REAL
from tests.machine import Machine
from tests.servers import free_port

HEX = re.compile(r"\b[0-9a-f]{32}\b")
PAGES = ("sweep", "promote", "score", "reproduce", "serve")
SLOW = "-P trials=120"  # takes eight minutes or more


def blocks():
    """Each command with the output that follows it, which may be empty."""
    pages = [PROJECT / "docs" / f"{name}.md" for name in PAGES]
    text = "\n".join([README, *(page.read_text() for page in pages)])
    found = re.findall(r"```sh\n(.*?)```(?:\n\n(?:[^`\n#|]+\n\n)?```\n(.*?)```)?", text, re.S)
    return [(command.strip(), output) for command, output in found]


class Reader(Machine):
    """A reader of the README who runs its commands on a clean machine."""

    def __init__(self, folder: Path, project: Path):
        super().__init__(folder, project, REAL)
        self.ids: dict[str, str] = {}  # of runs in the README: those of this machine

    def follow(self, command: str) -> str:
        """Run a command of the README; returns what it prints."""
        return self.run(self.here(command)).replace(str(self.home.parent), "/home")

    def here(self, command: str) -> str:
        """A command of the README, with the run ids of this machine."""
        for there, here in self.ids.items():
            command = command.replace(there, here)
        return command

    def compare(self, expected: str, printed: str, numbers: bool) -> None:
        """Check that every line was printed in this order; ids and durations may differ."""
        lines = iter(printed.splitlines())
        for line in expected.splitlines():
            target = masked(line, numbers)
            for candidate in lines:
                if masked(candidate, numbers) == target:
                    pairs = zip(HEX.findall(line), HEX.findall(candidate), strict=True)
                    self.ids |= dict(pairs)
                    break
            else:
                pytest.fail(f"not printed:\n{line}\nprinted:\n{printed}")


def masked(line: str, numbers: bool) -> str:
    line = re.sub(r"m-[0-9a-f]{32}", "m-ID", HEX.sub("ID", line))
    line = re.sub(r"\d+\.\d s\b", "SECONDS", line)
    return line if numbers else re.sub(r"\d[\d.,]*", "N", line)


@pytest.mark.slow
@pytest.mark.real
def test_the_readme_shows_what_its_commands_print(project, tmp_path):
    machine, seen = Reader(tmp_path, project), 0
    if "Available versions" not in machine.follow("python3 -m pip index versions uv"):
        pytest.skip("needs a package index")
    for command, output in blocks():
        if command.endswith("pytest") or command.startswith(("mlflow models serve", "curl")):
            continue  # pytest is running already; the others follow below
        if any(text in command for text in ("customers.csv", "people.csv", "budget 10m")):
            continue  # others test the first two; the last one takes ten minutes
        if command.startswith("mlflow run . -P"):  # the default environment manager needs pyenv
            command += " --env-manager uv"
        if "-e promote" in command:  # the first run is promoted before
            first = next(iter(machine.ids.values()))
            champion = machine.follow(re.sub(r"runs:/\w+/", f"runs:/{first}/", command))
            assert "champion" in champion, champion
        is_search = SLOW in command
        start = time.monotonic()
        printed = machine.follow(command.replace(SLOW, "-P trials=3"))
        seconds = time.monotonic() - start
        if not seen:
            print(f"from the clone to the first FINISHED run: {seconds:.0f} s")
        if output:
            compare_numbers = (
                not is_search and "-e score" not in command
            )  # the search and its model differ
            machine.compare(shape(output) if is_search else output, printed, compare_numbers)
        else:
            assert "\nrun    " in printed, printed
        seen += 1
    assert seen == 8
    serve_and_ask(machine)


def shape(output: str) -> str:
    """The lines that every search prints."""
    keep = ("data ", "search ", "test ", "run ", "look ", "serve ")
    return "\n".join(line for line in output.splitlines() if line.startswith(keep))


def serve_and_ask(machine: Reader) -> None:
    """Run the two commands of the section `Serve` on a free port."""
    serve, ask = (
        next((command, output) for command, output in blocks() if command.startswith(name))
        for name in ("mlflow models serve", "curl")
    )
    port = str(free_port())
    command = machine.here(serve[0]).replace("5001", port)
    server = subprocess.Popen(
        ["bash", "-c", f". .venv/bin/activate; exec {command}"],
        cwd=machine.clone, env=machine.environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        for _ in range(120):
            if answer := machine.follow(ask[0].replace("5001", port)):
                break
            time.sleep(0.5)
        assert answer.strip() == ask[1].strip()
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
