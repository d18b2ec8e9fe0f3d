"""Check whether a run can succeed here: one line a check, with the command that fixes a problem.

python check.py
python check.py --fix true --device cuda
"""

import click

from tabular import cancel, cli
from tabular.errors import WorkFailed


@click.command(cls=cli.Command, help=__doc__)
@cli.data_options
@cli.option("device", click.Choice(["cpu", "cuda"]), "cpu", "cuda looks for a GPU.")
@cli.option("fix", click.BOOL, "false", "true ends runs whose process is certainly gone.")
def main(data: str, device: str, fix: bool, **table: str) -> None:
    request = cli.table_request(table)
    with cancel.uninterrupted():
        try:
            from tabular import checks
        except Exception as error:  # a package is missing or broken
            reason = f"{type(error).__name__}: {error}"
            raise WorkFailed(f"{reason}: uv pip install -r requirements.txt") from None

    checks.run_checks(data, request, device, fix)


if __name__ == "__main__":
    cli.run(main)
