"""What the command line of a training run or a sweep asks for, as values."""

from dataclasses import dataclass

from tabular.data.requests import TableRequest
from tabular.data.table import SEARCH_METRICS as SEARCH_METRICS
from tabular.errors import UserError

AUTO = "auto"  # a name in promote: that of the candidate's table
HEADLINE_METRICS = ("accuracy", "roc_auc", "log_loss")  # in the order in which they are printed


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options that training and a sweep share.

    Attributes:
        data: where the rows come from, as ``data/README.md`` lists it.
        request: what the user fixes of the table.
        device: what trains the trees, cpu or cuda.
        seed: of row and column sampling and of the validation split.
        register: registered model that gets a new version; none: no version is made.
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

    config: dict[str, int | float]
    early_stopping_rounds: int
