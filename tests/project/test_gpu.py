"""The script that measures a GPU keeps what each command gave, and goes on after a failure."""

import json

import pytest

from benchmarks import gpu, gpu_probes


@pytest.fixture
def session(tmp_path) -> gpu.Session:
    (tmp_path / "out").mkdir()
    return gpu.Session(tmp_path / "out", tmp_path, limit=60)


def test_a_command_that_fails_is_a_result_with_its_last_lines(session):
    row = session.run("fail", "cpu", "-c", "print('first'); raise SystemExit('last')")
    assert row["error"] == "exit status 1:\nfirst\nlast"
    assert row["seconds"] > 0


def test_every_result_is_written_at_once(session):
    session.run("fail", "cpu", "-c", "raise SystemExit(1)")
    session.run("succeed", "cuda", "-c", "print('{\"rows\": 3}')")
    found = json.loads((session.out / "gpu.json").read_text())
    assert [row["task"] for row in found["results"]] == ["fail", "succeed"]
    assert found["results"][1]["details"] == {"rows": 3}
    assert '{"rows": 3}' in (session.out / "gpu.log").read_text()


def test_a_command_ends_at_its_limit(session):
    session.limit = 0.2
    row = session.run("sleep", "cpu", "-c", "import time; time.sleep(60)")
    assert row["error"].startswith("exit status -9")


def test_no_gpu_is_visible_where_it_is_hidden(session):
    code = "import os; print('ok', repr(os.environ.get('CUDA_VISIBLE_DEVICES')))"
    assert session.run("look", "cuda", "-c", code, visible=False)["said"] == ["ok ''"]


def test_the_table_has_the_devices_of_a_task_one_below_the_other():
    rows = [
        {"task": "train", "device": "cuda", "seconds": 2.0, "accuracy": 0.87341},
        {"task": "sweep", "device": "cuda", "seconds": 4.0, "error": "exit status 1:"},
        {"task": "train", "device": "cpu", "seconds": 3.0, "accuracy": 0.87342},
    ]
    lines = [line.split() for line in gpu.table(rows).splitlines()[1:]]
    assert lines == [
        ["train", "cuda", "2.0", "0.8734"],
        ["train", "cpu", "3.0", "0.8734"],
        ["sweep", "cuda", "4.0", "FAILED"],
    ]


def test_rows_are_written_in_files_of_both_splits(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "FILES", 2)
    gpu.write_rows(tmp_path / "rows", 400)
    names = [path.relative_to(tmp_path / "rows").as_posix() for path in tmp_path.rglob("part-*.*")]
    assert sorted(names) == [
        "test/part-00.test", "test/part-01.test", "train/part-00.data", "train/part-01.data"
    ]  # fmt: skip
    assert list(gpu_probes.stages(str(tmp_path / "rows"), "cpu"))[0] == "read"
