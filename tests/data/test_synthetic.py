"""Synthetic rows: the same on every machine, in the same format, and close to the real ones."""

import hashlib
import signal

import pytest
from click.testing import CliRunner

from benchmarks import synthetic as fidelity
from tabular import cancel
from tabular.data import census, reading, sources, synthetic
from tabular.data.census import CENSUS
from tests.helpers import REAL

# The first digits of the SHA-256 digests of adult.data and adult.test
DEFAULT_DIGESTS = ["407df291096b2263", "8edcb6bdebd15977"]


def digests(folder):
    return [
        hashlib.sha256((folder / name).read_bytes()).hexdigest()[:16] for name in census.DIGESTS
    ]


def test_the_default_rows_are_the_same_on_every_machine(tmp_path):
    """A run on synthetic rows can be reproduced only if these bytes never change."""
    synthetic.write(tmp_path, synthetic.DEFAULT_ROWS)
    assert digests(tmp_path) == DEFAULT_DIGESTS


def test_the_first_rows_do_not_depend_on_the_number_of_rows(tmp_path, monkeypatch):
    few, many = tmp_path / "few", tmp_path / "many"
    for folder, n_rows in ((few, 1000), (many, synthetic.CHUNK + 1000)):
        folder.mkdir()
        synthetic.write(folder, n_rows)
    for name, n_lines in ((census.TRAIN, 1001), (census.TEST, 501)):
        a, b = ((folder / name).read_text().splitlines() for folder in (few, many))
        assert a == b[:n_lines]
    assert len(b) == (synthetic.CHUNK + 1000) // 2 + 1
    assert len(reading.read_split(many / census.TRAIN, CENSUS).y) == synthetic.CHUNK + 1000


def test_rows_depend_on_the_seed(tmp_path):
    seen = set()
    for seed in (0, 1):
        synthetic.write(tmp_path, 1000, seed)
        seen.update(digests(tmp_path))
    assert len(seen) == 4


def test_writing_can_be_cancelled(tmp_path, monkeypatch):
    monkeypatch.setattr(cancel, "_received", signal.SIGTERM)
    with pytest.raises(cancel.Cancelled):
        synthetic.write(tmp_path, 1000)


def test_the_command_writes_the_same_rows(tmp_path):
    synthetic.write(tmp_path, 1000)
    options = [str(tmp_path / "folder"), "--rows", "1000"]
    done = CliRunner().invoke(synthetic.main, options, catch_exceptions=False)
    assert done.exit_code == 0
    assert digests(tmp_path / "folder") == digests(tmp_path)


def test_the_marker_is_found_in_either_file(tmp_path):
    """A model that was trained on synthetic rows must be recognised as such."""
    synthetic.write(tmp_path, 1000)
    assert sources.load(str(tmp_path)).origin == "synthetic"
    text = (tmp_path / census.TEST).read_text()
    (tmp_path / census.TEST).write_text(text.removeprefix(f"{synthetic.MARKER}\n"))
    text = (tmp_path / census.TRAIN).read_text()
    for prefix in ("", "\ufeff", "\n \n", "| a comment\n"):
        (tmp_path / census.TRAIN).write_text(prefix + text)
        assert sources.load(str(tmp_path)).origin == "synthetic"


def test_the_recipe_is_small():
    assert synthetic.RECIPE.stat().st_size <= 300_000


@pytest.fixture(scope="module")
def both():
    return sources.load(str(REAL)), sources.load("synthetic")


@pytest.mark.real
def test_the_distribution_of_each_column_is_close_to_the_real_one(both):
    """The total variation distance is at most 0.02."""
    real, made = both
    for name in CENSUS.features:
        assert fidelity.total_variation(real.train.X[name], made.train.X[name]) <= 0.02, name
    assert abs(real.train.y.mean() - made.train.y.mean()) <= 0.02


@pytest.mark.real
@pytest.mark.parametrize("max_depth", [3, pytest.param(6, marks=pytest.mark.slow)])
def test_a_model_is_as_accurate_and_uses_the_same_features_as_on_real_rows(both, max_depth):
    (a, gain), (b, made_gain) = (fidelity.train_and_score(rows, max_depth) for rows in both)
    assert abs(a - b) <= 0.015
    assert gain.corr(made_gain.reindex(gain.index), method="spearman") >= 0.8


@pytest.mark.real
def test_no_synthetic_row_equals_a_real_one(both):
    real, made = ({*fidelity.rows_of(r.train), *fidelity.rows_of(r.test)} for r in both)
    assert len(made) > 48_000
    assert not real & made
