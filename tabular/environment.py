"""What the caller's environment must not decide: where output goes, warnings, the number of cores.

``prepare`` is called once, by the process of a script, before it imports the libraries.
"""

import errno
import io
import os
import sys
import warnings
from typing import Any, TextIO

from tabular.errors import UserError, WorkFailed

# Nobody reads any more: a closed pipe, on Windows too, or a closed terminal
READER_GONE = (errno.EPIPE, errno.EINVAL, errno.EIO)
CORES = "LOKY_MAX_CPU_COUNT"  # joblib's variable, which bounds the number of threads
# How often a thread of GNU's OpenMP, on Linux, looks whether the others are done before it sleeps
SPINS, MAX_SPINS = "GOMP_SPINCOUNT", "10000"


class _Output(io.FileIO):
    """A file descriptor whose reader may go away: what is written afterwards is discarded.

    Raises:
        WorkFailed: writing fails for another reason, such as a full disk; once.
    """

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        try:
            return super().write(data) if size else 0  # click probes a stream with no bytes
        except OSError as error:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)
            if error.errno not in READER_GONE:
                raise WorkFailed(f"the output cannot be written: {error.strerror}") from None
        return size


def prepare() -> None:
    """Make the standard streams take any text, keep warnings from ending the work, and share cores.

    Raises:
        UserError: a variable has a value with which the libraries do not work.
    """
    _keep_docstrings()
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:  # closed: the next file that is opened would take its place
            setattr(sys, name, io.TextIOWrapper(io.FileIO(os.devnull, mode), write_through=True))
        elif mode == "w":
            setattr(sys, name, _tolerant(stream))
    if any(option.startswith("e") for option in sys.warnoptions):  # error, also shortened
        warnings.simplefilter("default")  # libraries warn where nothing is wrong
        # the workers of a local cluster inherit both
        os.environ["PYTHONWARNINGS"], sys.warnoptions[:] = "default", ["default"]
    if not (cores := os.environ.get(CORES, "1")).strip().isdecimal():
        raise UserError(
            f"{CORES}: expected a whole number, got {cores[:50]!r}; correct or unset it"
        )
    if "OMP_WAIT_POLICY" not in os.environ:  # by default 300,000 times, on a core that others need
        os.environ.setdefault(SPINS, MAX_SPINS)


def _keep_docstrings() -> None:
    """Start the script again if Python leaves docstrings out: XGBoost cannot be imported then."""
    if sys.flags.optimize < 2:
        return
    if (
        os.name != "posix" or os.environ.get("PYTHONOPTIMIZE", "1") == "1"
    ):  # -OO on the command line
        raise UserError("XGBoost needs docstrings: use PYTHONOPTIMIZE=1 or -O at most")
    variables = os.environ | {"PYTHONOPTIMIZE": "1"}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], variables)


def _tolerant(stream: TextIO) -> TextIO:
    """The stream, such that no text and no reader that is gone can make writing fail.

    A character that the stream's encoding lacks is written as in Python, such as ``\\u2713``.
    """
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    raw = getattr(stream.buffer, "raw", stream.buffer)
    if type(raw) is not io.FileIO:  # the console of Windows, or a stream in memory
        stream.reconfigure(errors="backslashreplace")
        return stream
    stream.flush()
    output = _Output(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        output if stream.write_through else io.BufferedWriter(output),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
