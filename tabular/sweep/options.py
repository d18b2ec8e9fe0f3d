"""What the command line of a sweep asks for, as one value."""

from dataclasses import dataclass

from tabular.options import RunOptions
from tabular.sweep.space import SearchSpace, grid_configs


@dataclass(frozen=True, kw_only=True)
class SweepOptions(RunOptions):
    """Options of ``sweep.py``.

    Attributes:
        space: for each hyper-parameter the values, or the range of values, to search.
        metric: chooses the best configuration, one of ``options.SEARCH_METRICS``.
        folds: 1 holds a fifth of the training rows out; k holds out each of k folds in turn.
        sampler: grid, random or tpe.
        trials: how many configurations random and tpe draw.
        max_points: a larger grid is refused.
        max_failures: the sweep fails if more configurations fail.
        workers: how many fits run at a time; None chooses by the number of cores.
        resume: whose results are reused: auto, never, or a sweep's run id.
        budget: seconds that the search may take; None: no limit.
        repeats: on how many other splits the best configuration is evaluated; 1: on none.

    Raises:
        UserError: the grid is too large or has a range.
    """

    space: SearchSpace
    metric: str
    folds: int
    sampler: str
    trials: int
    max_points: int
    max_failures: int
    workers: int | None
    resume: str
    budget: float | None
    repeats: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sampler == "grid":
            grid_configs(self.space, self.max_points)
