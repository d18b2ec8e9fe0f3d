"""Write label and probability for every row of a file, however large, in bounded memory.

mlflow run . -e score -P model=runs:/<run id>/model -P input=people.csv -P output=scored.csv
python score.py --model models:/census-income@champion --input in.parquet --output out.parquet
"""

import sys
from pathlib import Path
from typing import Any

import click

if sys.flags.safe_path:  # then Python leaves the folder of the script out
    sys.path.insert(0, str(Path(__file__).resolve().parent))

from tabular import cli
from tabular.option_types import Float, Int


@click.command(cls=cli.Command, help=__doc__)
@cli.option("model", None, None, "Address of the model.")
@cli.option(
    "input",
    None,
    None,
    "File of raw rows: .csv, .tsv, .parquet, or .data and .test as UCI's; also .gz.",
)
@cli.option("output", None, None, "File to write, of any of these types; replaced if it exists.")
@cli.option(
    "threshold",
    Float(0, 1, word="model"),
    "model",
    "Probability from which on a row gets the positive label; model takes the model's own.",
)
@cli.option(
    "explain",
    Int(0, word="all"),
    "0",
    "Number of features whose SHAP values are added to each row, the largest first; all: of all.",
)
@cli.option(
    "drift",
    click.BOOL,
    "true",
    "Whether to compare the rows with those that the model was trained on.",
)
@click.pass_context
def main(ctx: click.Context, **options: Any) -> None:
    with cli.importing():
        from tabular import scoring

    scoring.score(**options, cli_args=ctx.meta["cli_args"], draw=draw)


def draw(drift: Any) -> bytes:
    """Draw a table of drift; where there is none, the import would take longer than the work."""
    with cli.importing():
        from tabular.evaluation import drift_plots, plot_style

    return plot_style.png(drift_plots.drift_bars(drift))


if __name__ == "__main__":
    cli.main(main)
