"""Train one model on one configuration: one tracked run, with plots and a model that serves.

mlflow run . -P max_depth=6
python train.py --max_depth 6
"""

import sys
from pathlib import Path
from typing import Any

import click

if sys.flags.safe_path:  # then Python leaves the folder of the script out
    sys.path.insert(0, str(Path(__file__).resolve().parent))

from tabular import cli
from tabular.option_types import Int
from tabular.options import TrainOptions


@click.command(cls=cli.Command, help=__doc__)
@cli.hyperparameter_options
@cli.option(
    "early_stopping_rounds",
    Int(0),
    0,
    "Find the number of trees on a validation split: stop after this many rounds without a lower "
    "log loss. 0 trains all of them.",
)
@cli.run_options
@click.pass_context
def main(ctx: click.Context, **options: Any) -> None:
    chosen = cli.build(TrainOptions, ctx, options, "config")
    with cli.importing():
        from tabular import training

        if chosen.executor == "dask":  # Dask takes more than a second to import
            from tabular.cluster.partitions import connect_trainer
        else:
            from tabular.model.trainer import connect_trainer
    with connect_trainer(chosen) as trainer:
        training.train(chosen, trainer)


if __name__ == "__main__":
    cli.main(main)
