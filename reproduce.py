"""Train a past run again from its own record, and report whether the result is identical.

mlflow run . -e reproduce -P run_id=786c010b249d46629aa38544c6ef8904
python reproduce.py --run_id 786c010b249d46629aa38544c6ef8904
"""

import sys
from pathlib import Path

import click

if sys.flags.safe_path:  # then Python leaves the folder of the script out
    sys.path.insert(0, str(Path(__file__).resolve().parent))

from tabular import cli


@click.command(cls=cli.Command, help=__doc__)
@cli.option("run_id", None, None, "Of a run of train.py or sweep.py, or of a sweep's child.")
@click.pass_context
def main(ctx: click.Context, run_id: str) -> None:
    with cli.importing():
        from tabular import reproduction

    reproduction.reproduce(run_id, ctx.meta["cli_args"])


if __name__ == "__main__":
    cli.main(main)
