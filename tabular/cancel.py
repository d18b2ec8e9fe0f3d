"""Cancellation: the first SIGINT or SIGTERM asks the work to stop, and the work looks for it.

The first signal raises nothing by itself. Code that can stop calls ``check``: after each boosting
round, block of a file, chunk of SHAP rows, chunk of a download and result of a sweep. Where no
``check`` is reached within ``GRACE_SECONDS``, because the process waits for a silent server or for
a Dask worker, a timer raises ``Cancelled`` in the main thread. The body of ``uninterrupted`` is
spared: a broken-off import would leave half a module behind, and a run must reach its final status.
A second signal that arrives more than ``DUPLICATE_SECONDS`` later raises at once.
"""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

GRACE_SECONDS = 3.0  # from the first signal to the timer
DUPLICATE_SECONDS = 3.0  # `mlflow run` passes one Ctrl-C on as two signals

_received: signal.Signals | None = None
_ignore_until = 0.0
_uninterrupted = False


class Cancelled(BaseException):
    """A signal asked the process to end. It is not an ``Exception``, so that few swallow it."""


def install() -> None:
    """Handle both signals from now on."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _handle)
    if hasattr(signal, "SIGALRM"):  # Windows has no timer: there a second Ctrl-C is needed
        signal.signal(signal.SIGALRM, _expire)


def ignore_signals() -> None:
    """Ignore both signals from now on: the work is over, and the exit status must stay true."""
    stop_timer()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def received() -> signal.Signals | None:
    """The first signal that arrived; None if none did."""
    return _received


def check() -> None:
    """Raise ``Cancelled`` if a signal has arrived; any thread may call it."""
    if _received:
        if threading.current_thread() is threading.main_thread():
            stop_timer()
        raise Cancelled


def stop_timer() -> None:
    """Keep the timer from raising any more: the process is ending."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Keep the timer, but not a second signal, from interrupting the body."""
    global _uninterrupted
    before, _uninterrupted = _uninterrupted, True
    try:
        yield
    finally:
        _uninterrupted = before


def _handle(number: int, frame: FrameType | None) -> None:
    global _received, _ignore_until
    now = time.monotonic()
    if _received is None:
        _received, _ignore_until = signal.Signals(number), now + DUPLICATE_SECONDS
        if hasattr(signal, "setitimer"):  # again every half second, for as long as it is held off
            signal.setitimer(signal.ITIMER_REAL, GRACE_SECONDS, 0.5)
    elif now >= _ignore_until:
        _ignore_until = now + DUPLICATE_SECONDS
        raise Cancelled


def _expire(number: int, frame: FrameType | None) -> None:
    if not _uninterrupted:
        check()
