"""A table of any columns is refused with a reason, or read, trained on and served as it is.

`python -m tests.hostile` tries more tables.
"""

import random

import mlflow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabular.data import columns
from tests.hostile import table_oracle, table_service, tables
from tests.hostile.test_hostile import check

RANDOM = st.randoms(use_true_random=False)


@settings(max_examples=100)
@given(rng=RANDOM, sound=st.booleans())
def test_a_table_is_read_as_plain_python_reads_it_or_refused(tmp_path_factory, rng, sound):
    """A sound one is never refused."""
    table = tables.draw(rng, sound)
    folder = tmp_path_factory.mktemp("table")
    found, why = table_oracle.outcome(table, folder, random.Random(0))
    assert found != "WRONG", why


def test_many_tables_are_read(tmp_path):
    counts = check(table_oracle.try_many(100, 1, tmp_path))
    assert counts["correct"] > 55
    assert counts["error"] > 10


def test_the_oracle_detects_wrong_rows(tmp_path, monkeypatch):
    """Readers that change a value, lose a row or exchange labels."""
    interpret = columns.interpret

    def other_values(chunk, schema):
        chunk, X, labels = interpret(chunk, schema)
        return chunk, X.apply(lambda column: column.iloc[::-1].to_numpy()), labels

    def shorter(chunk, schema):
        chunk, X, labels = interpret(chunk, schema)
        return chunk._replace(rows=chunk.rows[1:], lines=chunk.lines[1:]), X[1:], labels[1:]

    def other_labels(chunk, schema):
        chunk, X, labels = interpret(chunk, schema)
        return chunk, X, labels[::-1]

    for reader in (other_values, shorter, other_labels):
        monkeypatch.setattr(columns, "interpret", reader)
        rng = random.Random(3)
        table = tables.draw(rng, sound=True, n_rows=60)
        assert table_oracle.outcome(table, tmp_path / reader.__name__, rng)[0] == "WRONG"


def test_a_model_answers_alike_however_it_is_asked(tmp_path):
    for seed in range(3):
        rng = random.Random(seed)
        table_service.require_alike(tables.draw(rng, sound=True), tmp_path / f"{seed}", rng)


@pytest.mark.slow
@settings(max_examples=12)
@given(rng=RANDOM)
def test_models_of_many_tables_answer_alike_however_they_are_asked(
    tmp_path_factory, empty_store, rng
):
    folder = tmp_path_factory.mktemp("table")
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    try:
        table_service.require_alike(tables.draw(rng, sound=True), folder / "data", random.Random(0))
    finally:
        mlflow.set_tracking_uri(None)
