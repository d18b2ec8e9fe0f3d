"""Check whether a run can succeed here: one line a check, with the command that fixes a problem.

python check.py
python check.py --fix true --device cuda
"""

import sys
from pathlib import Path

import click

if sys.flags.safe_path:  # then Python leaves the folder of the script out
    sys.path.insert(0, str(Path(__file__).resolve().parent))

from tabular import cli


@click.command(cls=cli.Command, help=__doc__)
@cli.data_options
@cli.option("device", click.Choice(["cpu", "cuda"]), "cpu", "cuda looks for a GPU.")
@cli.option("fix", click.BOOL, "false", "true ends runs whose process is certainly gone.")
def main(data: str, device: str, fix: bool, **table: str) -> None:
    request = cli.table_request(table)
    with cli.importing():
        from tabular import checks

    checks.run_checks(data, request, device, fix)


if __name__ == "__main__":
    cli.main(main)
