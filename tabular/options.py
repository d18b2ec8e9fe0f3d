"""What the command line of a training run or a sweep asks for, as values."""

import re
from dataclasses import dataclass
from typing import Any

from tabular.data.requests import TableRequest
from tabular.data.table import SEARCH_METRICS as SEARCH_METRICS
from tabular.errors import UserError

AUTO = "auto"  # a name in promote: that of the candidate's table
HEADLINE_METRICS = ("accuracy", "roc_auc", "log_loss")  # in the order in which they are printed
DEFAULT_THRESHOLD = 0.5
MAXIMIZED = ("accuracy", "f1", "balanced_accuracy")  # by a threshold that is chosen
BOUNDED = {"recall": "precision", "precision": "recall"}  # what is maximized where one has a bound
NUMBER = r"(\d+\.?\d*(?:e-?\d+)?|\.\d+)"
THRESHOLD = re.compile(rf"{NUMBER}|({'|'.join(MAXIMIZED)})|({'|'.join(BOUNDED)})>?={NUMBER}")


@dataclass(frozen=True)
class ThresholdRule:
    """How the threshold is set: the probability from which on a row gets the positive label.

    Attributes:
        value: the threshold; None: it is chosen on validation rows.
        maximized: the metric that the chosen threshold maximizes.
        bounded, bound: a metric that must be at least this value there; empty: none.
    """

    value: float | None = DEFAULT_THRESHOLD
    maximized: str = ""
    bounded: str = ""
    bound: float = 0.0

    def __str__(self) -> str:
        return f"{self.bounded}>={self.bound:g}" if self.bounded else self.maximized


def parse_threshold(text: str) -> ThresholdRule:
    """The rule that an option, or the recorded parameter of a run, states.

    Args:
        text: around which MLflow may have put quotes.

    Raises:
        UserError: it is no rule.
    """
    if match := THRESHOLD.fullmatch(text.strip("\"' ")):
        number, maximized, bounded, bound = match.groups()
        if maximized:
            return ThresholdRule(None, maximized)
        if number and float(number) <= 1:
            return ThresholdRule(float(number))
        if bounded and 0 < float(bound) <= 1:
            return ThresholdRule(None, BOUNDED[bounded], bounded, float(bound))
    raise UserError(
        f"threshold: expected a number from 0 to 1, {', '.join(MAXIMIZED)}, or a bound such as "
        f"recall=0.8 or, in quotes, 'precision>=0.8', got {text[:100]!r}"
    )


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options that training and a sweep share.

    Attributes:
        data: where the rows come from, as ``data/README.md`` lists it.
        request: what the user fixes of the table.
        device: what trains the trees, cpu or cuda.
        seed: of row and column sampling and of the validation split.
        register: registered model that gets a new version; none: no version is made.
        threshold: how the model's threshold is set.
        executor: where the work is done, local or dask.
        scheduler: address of a Dask scheduler; local: a cluster on this machine.
        cli_args: every option as it was typed, by name.

    Raises:
        UserError: a scheduler is given without ``executor=dask``.
    """

    data: str
    request: TableRequest
    device: str
    seed: int
    register: str
    executor: str
    scheduler: str
    cli_args: dict[str, str]
    threshold: ThresholdRule = ThresholdRule()

    def __post_init__(self) -> None:
        if self.executor == "local" and self.scheduler != "local":
            raise UserError(f"scheduler: {self.scheduler} needs executor=dask, got executor=local")


@dataclass(frozen=True, kw_only=True)
class TrainOptions(RunOptions):
    """Options of ``train.py``.

    Attributes:
        config: hyper-parameters by name.
        early_stopping_rounds: stops adding trees after this many rounds without a lower
            validation log loss; 0 trains ``n_estimators`` trees.
    """

    config: dict[str, Any]
    early_stopping_rounds: int
