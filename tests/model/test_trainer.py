"""Training in this process beside other work."""

import pytest

from tabular.data import sources
from tabular.model.hyperparameters import DEFAULTS
from tabular.model.trainer import LocalTrainer, SharingTrainer


@pytest.mark.parametrize("done_after", [0, 3, 100])
def test_a_fit_that_gets_more_cores_on_the_way_gives_the_same_bytes(done_after):
    split = sources.load("synthetic:600").train
    config = DEFAULTS | {
        "n_estimators": 8, "subsample": 0.5, "colsample_bytree": 0.5, "colsample_bynode": 0.5
    }  # fmt: skip
    matrix, asked = LocalTrainer().full_matrix(split), []

    def other_work_done() -> bool:
        asked.append(True)
        return len(asked) > done_after

    shared, shared_curve = SharingTrainer(other_work_done).fit(config, matrix, seed=1)
    booster, curve = LocalTrainer().fit(config, matrix, seed=1)
    assert shared.save_raw("ubj") == booster.save_raw("ubj")
    assert shared_curve == curve
    assert len(asked) == min(done_after + 1, 8)
