"""Train, track, sweep, evaluate, promote, score and serve XGBoost models of a table."""

import platform
import sys

if sys.version_info < (3, 11):
    print(
        f"error: Python 3.11 or later is needed, found {platform.python_version()} "
        f"({sys.executable}); make the environment with `python3.11 -m venv .venv`",
        file=sys.stderr,
    )
    sys.exit(2)
