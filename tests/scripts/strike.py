"""Run train.py and send this process SIGTERM as a named function begins.

python strike.py MODULE.FUNCTION HOW [OPTION ...], where HOW is ``kept`` or ``disguised``: then the
function raises an error of its own at that moment.
"""

import importlib
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import train
from tabular import cli

place, how, *options = sys.argv[1:]
module, _, name = place.rpartition(".")
module = importlib.import_module(module)
original = getattr(module, name)


def struck(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGTERM)
    if how == "disguised":
        raise ValueError("an error of the code that the signal arrived in")
    return original(*args, **kwargs)


setattr(module, name, struck)
sys.argv = ["train.py", *options]
cli.run(train.main)
