"""Run train.py and send this process SIGTERM at the start of a function.

python strike.py MODULE.FUNCTION [OPTION ...]
"""

import importlib
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import train
from tabular import cli

place, *options = sys.argv[1:]
module, _, name = place.rpartition(".")
module = importlib.import_module(module)
original = getattr(module, name)


def interrupted(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGTERM)
    return original(*args, **kwargs)


setattr(module, name, interrupted)
sys.argv = ["train.py", *options]
cli.run(train.main)
