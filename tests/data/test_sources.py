"""Locating, downloading and reading a dataset."""

import hashlib
import http.server
import signal
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabular import cancel
from tabular.data import census, sources, synthetic
from tabular.errors import UserError
from tabular.model import boosting, hyperparameters, served
from tests.helpers import REAL

ROW = (
    "39, State-gov, 77516, Bachelors, 13, Never-married, Adm-clerical, Not-in-family, White, Male, "
    "2174, 0, 40, United-States, <=50K"
)
RICH = (
    "52, Self-emp-inc, 287927, HS-grad, 9, Married-civ-spouse, ?, Wife, White, Female, "
    "15024, 0, ?, ?, >50K"
)


def write(folder, *lines, name=census.TRAIN, end="\n"):
    path = folder / name
    path.write_bytes(end.join([*lines, ""]).encode("utf-8", "surrogateescape"))
    return path


def test_the_format_of_uci_is_read(tmp_path):
    """Comment, leading spaces, missing marker, full stop after the label, blank last line."""
    split = sources.read_split(write(tmp_path, "|1x3 Cross validator", f"{ROW}.", f"{RICH}.", ""))
    assert split.y.tolist() == [0, 1]
    assert split.X["age"].tolist() == [39, 52]
    assert split.X["workclass"].tolist() == ["State-gov", "Self-emp-inc"]
    assert split.X["hours-per-week"].isna().tolist() == [False, True]
    assert split.X["occupation"].isna().tolist() == [False, True]
    assert list(split.X["native-country"].cat.categories) == ["United-States"]
    assert list(split.X) == list(census.FEATURES)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(", ", ","),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("K\n", "K.\n"),
        lambda text: text.replace("K\n", "K \n"),
        lambda text: text.rstrip("\n"),
        lambda text: text.replace("\n", "\n\n"),
        lambda text: text.replace("\n", "\n \t\n"),
        lambda text: text.replace("\n", "\n| a comment\n"),
        lambda text: text.replace("\n", f"\n|{ROW}\n"),
        lambda text: text.replace(" White,", "\tWhite\u00a0 ,"),
        lambda text: text.replace(" ?, Wife,", "\t? , Wife,"),
        lambda text: text.replace(" 40,", "  40 ,"),
        lambda text: f"\ufeff{text}",
        lambda text: f"\ufeff\n| a comment\n{text}",
    ],
)
def test_spaces_line_ends_and_full_stops_do_not_matter(tmp_path, change):
    plain = write(tmp_path, ROW, RICH, ROW)
    other = tmp_path / "other.data"
    other.write_bytes(change(plain.read_text()).encode())
    a, b = sources.read_split(plain), sources.read_split(other)
    assert a.X.equals(b.X)
    assert a.y.tolist() == b.y.tolist()


def test_booleans_in_a_numeric_column_are_refused(tmp_path):
    """They are not read as 1 and 0."""
    path = write(tmp_path, ROW.replace("39", "True"), RICH.replace("52", "False", 1))
    with pytest.raises(UserError, match=r"line \d+: age: expected a finite number, got 'True'"):
        sources.read_split(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("39", "thirty", "line 3: age: expected a finite number, got 'thirty'"),
        ("39", "", "line 3: age: expected a finite number, got ''"),
        ("39", "nan", "line 3: age: expected a finite number, got 'nan'"),
        ("39", "inf", "line 3: age: expected a finite number, got 'inf'"),
        ("39", "1e999", "line 3: age: expected a finite number, got '1e999'"),
        ("39", "0x10", "line 3: age: expected a finite number, got '0x10'"),
        ("39", "1e39", "line 3: age: expected a finite number, got '1e39'"),
        ("39", "9" * 60 + "x", f"line 3: age: expected a finite number, got '{'9' * 50}'"),
        ("State-gov", "", "line 3: workclass: expected a value, got ''"),
        (" White,", "", "line 3: expected 15 fields, got 14"),
        (" White,", " White, White,", "line 3: expected 15 fields, got 16"),
        ("<=50K", ">5OK", "line 3: income: expected the label <=50K or >50K, got '>5OK'"),
        ("<=50K", "", "line 3: income: expected the label <=50K or >50K, got ''"),
        ("<=50K", "<=50K..", "line 3: income: expected the label <=50K or >50K, got '<=50K..'"),
        ("Male", "\udcff", "line 3: expected UTF-8 text"),
    ],
)
def test_a_malformed_row_is_an_error_that_names_file_and_line(tmp_path, old, new, message):
    path = tmp_path / census.TRAIN
    text = "\n".join(["| comment", RICH, ROW.replace(old, new, 1), ROW])
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError) as caught:
        sources.read_split(path)
    assert str(caught.value).startswith(f"{path} {message}")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "expected rows, found none"),
        (["|only a comment"], "expected rows, found none"),
        ([ROW, ROW], "expected rows of both labels, <=50K and >50K, got only <=50K"),
        (["<html><body>Please log in</body></html>"], "line 1: expected 15 fields, got 1"),
    ],
)
def test_a_file_without_rows_of_both_labels_is_refused(tmp_path, lines, message):
    path = write(tmp_path, *lines) if lines else tmp_path / "x.data"
    path.touch()
    with pytest.raises(UserError, match=message):
        sources.read_split(path)


def test_a_model_is_trained_although_a_column_has_no_values(tmp_path):
    """A user's own data may lack them."""
    for name in census.DIGESTS:
        write(tmp_path, *[RICH, ROW.replace("Adm-clerical", "?")] * 20, name=name)
    dataset = sources.load(str(tmp_path))
    assert dataset.train.X["occupation"].isna().all()
    booster, _ = boosting.fit(
        hyperparameters.DEFAULTS, boosting.bin_rows(dataset.train.X, dataset.train.y)
    )
    codes = served.Encoder(booster)(dataset.test.X)
    assert np.isnan(codes[:, list(census.FEATURES).index("occupation")]).all()
    assert booster.inplace_predict(codes).std() > 0.1


@pytest.mark.real
def test_the_files_of_uci_are_recognised_in_any_folder(monkeypatch):
    """According to adult.names they have 32,561 and 16,281 rows, 24.08 % and 23.62 % above 50K."""
    dataset = sources.load(str(REAL))
    assert dataset.origin == "uci"
    assert (dataset.train.n_rows, dataset.test.n_rows) == (32_561, 16_281)
    assert dataset.train.y.mean() == pytest.approx(0.2408, abs=5e-5)
    assert dataset.test.y.mean() == pytest.approx(0.2362, abs=5e-5)
    assert dataset.train.X.isna().sum().sum() == 4262
    monkeypatch.setenv("CENSUS_DATA_DIR", str(REAL))
    assert sources.load("uci").digest == sources.load("auto").digest == dataset.digest


def test_a_named_source_is_used_or_is_an_error(monkeypatch, tmp_path, synthetic_folder):
    """Only auto without CENSUS_DATA_DIR tries other sources."""
    for value in ("nowhere", str(tmp_path / "nowhere")):
        with pytest.raises(
            UserError, match="expected a folder of adult.data and adult.test, found no adult.data"
        ):
            sources.load(value)
    monkeypatch.setenv("CENSUS_DATA_DIR", str(synthetic_folder))
    assert sources.load("auto").source == str(synthetic_folder)
    with pytest.raises(UserError, match="SHA-256"):
        sources.load("uci")
    monkeypatch.setenv("CENSUS_DATA_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="CENSUS_DATA_DIR: expected a folder"):
        sources.load("auto")


@pytest.mark.parametrize(
    "value",
    [
        "synthetic:",
        "synthetic:x",
        "synthetic:-5",
        "synthetic:5",
        "synthetic:" + "9" * 5000,
        "",
        " ",
    ],
)
def test_a_malformed_source_is_refused(value):
    with pytest.raises(UserError):
        sources.load(value)


@pytest.mark.parametrize("clone", [True, False])
def test_a_relative_path_is_refused_in_a_temporary_clone(monkeypatch, tmp_path, clone):
    """`mlflow run <git URL>` works in tempfile.mkdtemp(), not in the folder of the user."""
    here = tmp_path / "tmp" / ("tmpab12cd_9" if clone else "project")
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    assert sources.resolve_path("rows", "data") == here / "rows"
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    assert sources.resolve_path("/rows", "data").is_absolute()
    if clone:
        with pytest.raises(UserError, match="data: expected an absolute path, got 'rows'"):
            sources.resolve_path("rows", "data")
    else:
        assert sources.resolve_path("rows", "data") == here / "rows"


@pytest.fixture
def mirror(monkeypatch, tmp_path, synthetic_folder):
    """A loopback server of two files with the recorded digests; yields what it serves, by name."""
    contents = {name: (synthetic_folder / name).read_bytes() for name in census.DIGESTS}
    digests = {name: hashlib.sha256(body).hexdigest() for name, body in contents.items()}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = contents.get(self.path.removeprefix("/"), b"")
            cut = self.path.removeprefix("/") in contents.get("cut", ())
            self.send_response(200 if body else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if cut else body)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    monkeypatch.setattr(census, "DIGESTS", digests)
    monkeypatch.setattr(
        census, "ADDRESSES", ("http://127.0.0.1:9/", f"http://127.0.0.1:{server.server_port}/")
    )
    monkeypatch.setattr(sources, "PROJECT_DATA", tmp_path / "project-data")
    yield contents
    server.shutdown()
    server.server_close()


def test_a_download_goes_to_the_cache_and_is_not_repeated(mirror, tmp_path):
    dataset = sources.load("uci")
    assert dataset.origin == "uci"
    assert dataset.source.startswith(str(tmp_path / "home" / "cache"))
    mirror.clear()
    assert sources.load("auto").digest == dataset.digest


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda c: c.update({census.TEST: b"<html>log in</html>"}),
            "does not match the known hash",
        ),
        (lambda c: c.update({census.TRAIN: c[census.TRAIN][:-5]}), "does not match the known hash"),
        (lambda c: c.update(cut=[census.TRAIN]), "adult.data could not be downloaded"),
        (lambda c: c.pop(census.TEST), "404"),
    ],
)
def test_a_failed_download_is_an_error_and_leaves_no_partial_file(mirror, tmp_path, spoil, message):
    spoil(mirror)
    with pytest.raises(UserError, match=message):
        sources.load("uci")
    complete = [p for p in (tmp_path / "home").rglob("*") if p.is_file()]
    assert {p.name for p in complete} <= {census.TRAIN}
    for path in complete:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == census.DIGESTS[path.name]


def test_a_download_can_be_cancelled(mirror, tmp_path, monkeypatch):
    monkeypatch.setattr(cancel, "_received", signal.SIGTERM)
    with pytest.raises(cancel.Cancelled):
        sources.load("uci")
    assert not [p for p in (tmp_path / "home").rglob("*") if p.is_file()]


@pytest.mark.parametrize("data", ["synthetic", "auto"])
def test_generated_files_are_deleted(mirror, data):
    mirror.clear()
    with sources.located(data) as location:
        assert location.train.exists()
        assert location.test.exists()
    assert not [*Path(tempfile.gettempdir()).iterdir()]


def test_reading_can_be_cancelled(synthetic_folder, monkeypatch):
    monkeypatch.setattr(cancel, "_received", signal.SIGTERM)
    with pytest.raises(cancel.Cancelled):
        sources.read_file(synthetic_folder / census.TRAIN)


def test_the_training_split_can_be_read_by_another_reader(synthetic_folder):
    """A cluster reads it so."""
    expected, paths = sources.read_split(synthetic_folder / census.TRAIN), []
    dataset = sources.load(str(synthetic_folder), lambda path: paths.append(path) or expected)
    assert dataset.train is expected
    assert paths == [synthetic_folder / census.TRAIN]


@pytest.mark.parametrize("data", ["synthetic:500", "folder"])
def test_a_dataset_is_loaded_again_by_the_tags_of_its_run(synthetic_folder, data):
    dataset = sources.load(str(synthetic_folder) if data == "folder" else data)
    tags = {"data.origin": dataset.origin, "data.source": dataset.source}
    assert sources.reload(tags).digest == dataset.digest


def test_auto_falls_back_to_synthetic_rows_with_a_warning(mirror):
    mirror.clear()
    dataset = sources.load("auto")
    assert dataset.origin == "synthetic"
    assert "adult.data could not be downloaded" in dataset.warning


def test_a_file_with_a_wrong_digest_is_not_used(mirror, tmp_path, capsys):
    """Files in the project's folder and in the cache are checked as downloads are."""
    project, cache = tmp_path / "project-data", tmp_path / "home" / "cache" / "census-mlflow"
    for folder in (project, cache):
        folder.mkdir(parents=True)
        (folder / census.TRAIN).write_text("spoilt")
        (folder / census.TEST).write_bytes(mirror[census.TEST])
    dataset = sources.load("uci")
    assert (dataset.origin, dataset.source) == ("uci", str(cache))
    expected = f"not used: {project / census.TRAIN}: expected UCI's file with SHA-256"
    assert capsys.readouterr().err.startswith(expected)


def test_the_project_folder_comes_before_the_cache(mirror, tmp_path):
    folder = tmp_path / "project-data"
    folder.mkdir()
    for name, body in mirror.items():
        (folder / name).write_bytes(body)
    assert sources.load("auto").source == str(folder)


@pytest.mark.network
def test_the_recorded_addresses_still_hold_the_files(tmp_path):
    sources.download(tmp_path)
    assert sources.load(str(tmp_path)).origin == "uci"


def test_origin_and_digest_depend_on_the_bytes_of_the_files(tmp_path, synthetic_folder):
    """Without the marker, the same rows have the origin "directory" and another digest."""
    marked = sources.load(str(synthetic_folder))
    assert marked.origin == "synthetic"
    for name in census.DIGESTS:
        lines = (synthetic_folder / name).read_text().splitlines()
        assert lines[0] == synthetic.MARKER
        write(tmp_path, *lines[1:], name=name)
    plain = sources.load(str(tmp_path))
    assert plain.origin == "directory"
    assert plain.digest != marked.digest
    assert np.array_equal(plain.train.y, marked.train.y)


TEXT = st.one_of(
    st.just(census.MISSING),
    st.text(st.characters(categories=["L", "N"], include_characters="-&"), min_size=1, max_size=9),
)
NUMBER = st.one_of(st.just(census.MISSING), st.integers(-999, 10**7).map(str))
FIELDS = st.tuples(*(NUMBER if name in census.NUMERIC else TEXT for name in census.FEATURES))
SPACES = st.sampled_from(["", " ", "  ", "\t"])
LABELS = st.sampled_from([census.NEGATIVE, census.POSITIVE, f"{census.POSITIVE}."])


@settings(max_examples=100, deadline=None)
@given(st.lists(FIELDS, min_size=1, max_size=5), st.data())
def test_any_rows_in_the_format_of_uci_are_read_unchanged(tmp_path_factory, rows, chosen):
    rows = [*rows, rows[0], rows[0]]
    lines, labels = [], [census.NEGATIVE, census.POSITIVE]
    for fields in rows:
        label = labels.pop() if labels else chosen.draw(LABELS)
        separator = "," + chosen.draw(SPACES)
        lines.append(separator.join([*fields, label]) + chosen.draw(SPACES))
        lines += chosen.draw(st.sampled_from([[], [""], ["| a comment"], ["  "]]))
    end = chosen.draw(st.sampled_from(["\n", "\r\n"]))
    path = write(tmp_path_factory.mktemp("any"), *lines, end=end)
    split = sources.read_split(path)
    for values, fields in zip(split.X.itertuples(index=False), rows, strict=True):
        for name, value, field in zip(census.FEATURES, values, fields, strict=True):
            if field == census.MISSING:
                assert value != value, name  # NaN
            else:
                assert value == (np.float32(field) if name in census.NUMERIC else field), name


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.one_of(st.text(max_size=30), st.sampled_from([ROW, RICH, ROW + "."])), max_size=6)
)
def test_any_text_is_read_or_refused_with_the_name_of_the_file(tmp_path_factory, lines):
    path = write(tmp_path_factory.mktemp("any"), *lines)
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    try:
        split = sources.read_split(path)
        assert len(split.X) == len(split.y) > 1
    except UserError as error:
        assert error.format_message().startswith(str(path))
