"""Constraints: read from text, checked against a table, and kept by the trees."""

import json
import shlex

import numpy as np
import pandas as pd
import pytest

from tabular.data.census import CENSUS
from tabular.errors import UserError
from tabular.model import boosting, constraints
from tabular.model.hyperparameters import DEFAULTS
from tabular.model.served import Encoder

MONOTONE = {"age": 1, "hours-per-week": -1}
ODD = {"a,b": 1, "c:d": -1, "größe +": 1, "it's [x]": -1}
GROUPS = [["age", "education-num"], ["hours-per-week", "sex", "age"]]


@pytest.mark.parametrize(("text", "signs"), [
    ("none", {}),
    ("age:1", {"age": 1}),
    ("age:1,hours-per-week:-1", MONOTONE),
    (" age : +1 , hours-per-week : -1 ", MONOTONE),
    ("c:d:-1,größe +:1", {"c:d": -1, "größe +": 1}),
    (json.dumps(ODD), ODD),
    (shlex.quote(json.dumps(ODD)), ODD),  # as MLflow records it
    ("'it':1", {"'it'": 1}),
])  # fmt: skip
def test_monotone_constraints_are_read_by_name(text, signs):
    assert constraints.parse_monotone(text) == signs


@pytest.mark.parametrize(("text", "groups"), [
    ("none", []),
    ("age+education-num,hours-per-week+sex+age", GROUPS),
    ("age", [["age"]]),
    (json.dumps([[*ODD]]), [[*ODD]]),
    (shlex.quote(json.dumps([[*ODD]])), [[*ODD]]),
    ("'größe + age'", [["größe", "age"]]),
])  # fmt: skip
def test_interaction_constraints_are_read_by_name(text, groups):
    assert constraints.parse_interaction(text) == groups


@pytest.mark.parametrize("text", [
    "", "age", "age:2", "age:", ":1", "age:1,", "age:1,age:-1", "age:1.0", "{}", "{", '{"age": 2}',
    '{"age": true}', '{"age": 1, "age": 1}', '{"age": {"age": 1}}', "[" * 4000, "'", "'\"'",
])  # fmt: skip
def test_malformed_monotone_constraints_are_refused(text):
    with pytest.raises(UserError, match="monotone_constraints: expected none, or names of columns"):
        constraints.parse_monotone(text)


@pytest.mark.parametrize("text", [
    "", "age+", "age,,sex", "[]", "[[]]", "[1]", '[["age", 1]]', '["age"]', '[{"age": 1}]',
    '[["age", ""]]', "[" * 4000,
])  # fmt: skip
def test_malformed_interaction_constraints_are_refused(text):
    with pytest.raises(UserError, match="interaction_constraints: expected none, or groups of col"):
        constraints.parse_interaction(text)


@pytest.mark.parametrize("parse", constraints.PARSERS.values())
def test_a_text_that_mlflow_could_not_store_is_refused(parse):
    with pytest.raises(UserError, match="expected at most 5,000 characters, got 5,001"):
        parse("x" * 5001)


@pytest.mark.parametrize(("monotone", "interaction", "message"), [
    ("agee:1", "none", "monotone_constraints: the model has no column 'agee'; did you mean 'age'?"),
    ("none", "age+sx", "interaction_constraints: the model has no column 'sx'; did you mean 'sex'"),
    ("sex:1", "none", "monotone_constraints: 'sex' is categorical, and categories have no order"),
    ("income:1", "none", "monotone_constraints: the model has no column 'income'"),
])  # fmt: skip
def test_a_column_that_cannot_be_constrained_is_named(monotone, interaction, message):
    texts = {"monotone_constraints": monotone, "interaction_constraints": interaction}
    with pytest.raises(UserError, match=message):
        constraints.require_features(texts, CENSUS)


def test_constraints_of_the_tables_own_columns_are_accepted():
    texts = {"monotone_constraints": "age:1", "interaction_constraints": "age+sex,race+sex"}
    constraints.require_features(DEFAULTS | texts, CENSUS)


@pytest.mark.parametrize("changes", [{}, {"grow_policy": "lossguide", "max_leaves": 40}])
def test_a_served_probability_is_monotone_in_a_constrained_column(dataset, changes):
    config = DEFAULTS | {"max_depth": 7, "learning_rate": 0.5, "n_estimators": 30} | changes
    train, rng = dataset.train, np.random.default_rng(0)
    matrix, X = boosting.full_matrix(train), dataset.test.X.sample(300, random_state=0)
    values = np.sort(rng.uniform(0, 100, 40)).astype(np.float32)
    broken = set()
    for text in ("none", json.dumps(MONOTONE)):
        booster, _ = boosting.fit(config | {"monotone_constraints": text}, matrix)
        for name, sign in MONOTONE.items():
            predicted = [
                booster.inplace_predict(Encoder(booster)(X.assign(**{name: value})))
                for value in values
            ]
            if not (sign * np.diff(predicted, axis=0) >= 0).all():
                broken.add((text, name))
    assert broken == {("none", name) for name in MONOTONE}


def paths(booster):
    """The sets of columns on the paths from a root to a leaf."""

    def walk(node, above):
        if "leaf" in node:
            return {above}
        return set().union(*(walk(c, above | {node["split"]}) for c in node["children"]))

    return set().union(
        *(walk(json.loads(tree), frozenset()) for tree in booster.get_dump(dump_format="json"))
    )


@pytest.mark.parametrize("grow_policy", ["depthwise", "lossguide"])
def test_no_path_combines_columns_of_different_groups(dataset, grow_policy):
    config = DEFAULTS | {"max_depth": 6, "n_estimators": 30, "grow_policy": grow_policy}
    matrix = boosting.full_matrix(dataset.train)
    free = paths(boosting.fit(config, matrix)[0])
    text = "age+education-num,hours-per-week+sex+age"
    found = paths(boosting.fit(config | {"interaction_constraints": text}, matrix)[0])

    def allowed(path):
        return len(path) == 1 or any(path <= {*group} for group in GROUPS)

    assert not all(map(allowed, free))
    assert all(map(allowed, found))
    assert {frozenset(["age", "education-num"]), frozenset(["relationship"])} <= found


def test_names_that_xgboost_does_not_take_can_be_constrained():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(400, len(ODD))).astype(np.float32), columns=[*ODD])
    y = (X.sum(axis=1) + rng.normal(size=400) > 0).to_numpy().astype(np.int8)
    texts = {
        "monotone_constraints": json.dumps(ODD),
        "interaction_constraints": json.dumps([[*ODD][:2], [*ODD][2:]]),
    }
    booster, _ = boosting.fit(DEFAULTS | texts, boosting.bin_rows(X, y))
    names = [boosting.escape_name(name) for name in ODD]
    assert all(path <= {*names[:2]} or path <= {*names[2:]} for path in paths(booster))
    assert "c:d" not in {name for path in paths(booster) for name in path}  # it rises in the rows
