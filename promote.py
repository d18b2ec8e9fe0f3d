"""Compare a model with the champion on the test set; make it champion if every check passes.

mlflow run . -e promote -P model=runs:/786c010b249d46629aa38544c6ef8904/model
python promote.py --model models:/census-income/3 --metric accuracy --min_improvement 0.001
python promote.py --rollback true
python promote.py --history true --name census-income
"""

import sys
from pathlib import Path
from typing import Any

import click

if sys.flags.safe_path:  # then Python leaves the folder of the script out
    sys.path.insert(0, str(Path(__file__).resolve().parent))

from tabular import cli
from tabular.option_types import Float
from tabular.options import SEARCH_METRICS


@click.command(cls=cli.Command, help=__doc__)
@cli.option("model", None, "none", "Address of the candidate; none only with rollback.")
@cli.option(
    "name",
    None,
    "auto",
    "Registered model whose champion it is to be; auto takes the name of the model's table, such "
    "as census-income.",
)
@cli.option("metric", click.Choice([*SEARCH_METRICS]), "log_loss", "Metric that must improve.")
@cli.option(
    "min_improvement",
    Float(),
    0.0,
    "Bound above which the 95 % interval of the improvement over the champion must lie.",
)
@cli.option(
    "max_group_drop",
    Float(0, 1),
    0.02,
    "Largest loss of accuracy that any group of people may have.",
)
@cli.option("rollback", click.BOOL, "false", "true makes the previous version champion again.")
@cli.option("history", click.BOOL, "false", "true prints which versions were champion, and when.")
@click.pass_context
def main(ctx: click.Context, **options: Any) -> None:
    with cli.importing():
        from tabular import promotion

    promotion.promote(promotion.PromoteOptions(**options, cli_args=ctx.meta["cli_args"]))


if __name__ == "__main__":
    cli.main(main)
