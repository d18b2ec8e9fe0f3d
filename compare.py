"""Compare two models of one table on the same test rows; nothing but the own run is changed.

mlflow run . -e compare -P a=786c010b249d46629aa38544c6ef8904 -P b=models:/census-income@champion
python compare.py --a runs:/786c010b249d46629aa38544c6ef8904/model --b models:/census-income/3
"""

import sys
from pathlib import Path

import click

if sys.flags.safe_path:  # then Python leaves the folder of the script out
    sys.path.insert(0, str(Path(__file__).resolve().parent))

from tabular import cli


@click.command(cls=cli.Command, help=__doc__)
@cli.option("a", None, None, "Run id or address of the model that is compared with.")
@cli.option("b", None, None, "Run id or address of the other model: differences are b minus a.")
@click.pass_context
def main(ctx: click.Context, a: str, b: str) -> None:
    with cli.importing():
        from tabular import comparison

    comparison.compare(a, b, ctx.meta["cli_args"])


if __name__ == "__main__":
    cli.main(main)
