"""Evaluate configurations on validation rows, one child run each; make the best one a model.

mlflow run . -e sweep
python sweep.py --max_depth 3,6,9 --learning_rate 0.05,0.1 --n_estimators 200,400 --folds 5
python sweep.py --sampler tpe --trials 30 --max_depth 2..10 --learning_rate 0.01..0.3
"""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

if sys.flags.safe_path:  # then Python leaves the folder of the script out
    sys.path.insert(0, str(Path(__file__).resolve().parent))

from tabular import cli
from tabular.option_types import Duration, Int
from tabular.options import SEARCH_METRICS
from tabular.sweep.options import SweepOptions


@click.command(cls=cli.Command, help=__doc__)
@partial(cli.hyperparameter_options, lists=True)
@cli.option(
    "metric",
    click.Choice([*SEARCH_METRICS]),
    "log_loss",
    "Validation metric that chooses the best configuration.",
)
@cli.option(
    "folds",
    Int(1),
    1,
    "1 holds a fifth of the training rows out, k holds out each of k folds in turn.",
)
@cli.option(
    "sampler",
    click.Choice(["grid", "random", "tpe"]),
    "grid",
    "grid: every combination; random, tpe: trials drawn by Optuna, from ranges like 0.01..0.3 too.",
)
@cli.option("trials", Int(1), 50, "Number of trials that random and tpe draw.")
@cli.option("max_points", Int(1), 10_000, "Largest number of configurations of a grid.")
@cli.option(
    "max_failures",
    Int(0),
    0,
    "Number of configurations that may fail; if more fail, the sweep fails.",
)
@cli.option(
    "workers",
    Int(1, word="auto"),
    "auto",
    "Number of fits that run at a time; auto runs one for each core.",
)
@cli.option(
    "budget",
    Duration(),
    "none",
    "Time after which the search (with repeats) ends with what it has, such as 30s, 10m or 1h30m; "
    "reading the data before and the final fit after it come on top.",
)
@cli.option(
    "repeats",
    Int(1),
    1,
    "k > 1: evaluate the best configuration on k other validation splits too, beside the defaults.",
)
@cli.option(
    "resume",
    None,
    "auto",
    "Sweep whose results are not computed again: auto (any sweep of the experiment), "
    "never, or the run id of a sweep.",
)
@cli.run_options
@click.pass_context
def main(ctx: click.Context, **options: Any) -> None:
    chosen = cli.build(SweepOptions, ctx, options, "space")
    with cli.importing():
        from tabular.sweep import runner

        if chosen.executor == "dask":  # Dask takes more than a second to import
            from tabular.sweep.dask_executor import connect
        else:
            from tabular.sweep.executors import connect
    with connect(chosen) as make_executor:
        runner.sweep(chosen, make_executor)


if __name__ == "__main__":
    cli.main(main)
