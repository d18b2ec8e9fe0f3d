"""Cancellation: the first SIGINT or SIGTERM asks the work to stop, and the work looks for it.

On Windows these are Ctrl-C and Ctrl-Break; no process there can send another one SIGTERM.

The first signal raises nothing by itself. Code that can stop calls ``check``: after each boosting
round, block of a file, chunk of SHAP rows, chunk of a download and result of a sweep. Where no
``check`` is reached within ``GRACE_SECONDS``, because the process waits for a silent server or for
a Dask worker, a timer raises ``Cancelled`` in the main thread. Windows has no timer: a thread
raises SIGINT in its place, which wakes a process that sleeps or computes in Python, while a call
that waits for a server ends with its own time-out first. The timer spares an import, which would
leave half a module behind, and the body of ``uninterrupted``: a run must reach its final status.
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
REPEAT_SECONDS = 0.5  # between two attempts of the timer, for as long as it is held off
NAMES = ("SIGINT", "SIGTERM", "SIGBREAK")  # SIGBREAK exists on Windows only
SIGNALS = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]

_received: signal.Signals | None = None
_ignore_until = 0.0
_uninterrupted = False
_timer_due: float | None = None  # on time.monotonic(); None: the timer is stopped
_timer_fired = False  # the signal that arrives next is that of the timer's thread


class Cancelled(BaseException):
    """A signal asked the process to end. It is not an ``Exception``, so that few swallow it."""


def install() -> None:
    """Handle these signals from now on."""
    for number in SIGNALS:
        signal.signal(number, _handle)
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, _expire)
    else:
        threading.Thread(target=_run_timer, name="grace period", daemon=True).start()


def ignore_signals() -> None:
    """Ignore these signals from now on: the work is over, and the exit status must stay true."""
    stop_timer()
    for number in SIGNALS:
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
    global _timer_due
    _timer_due = None
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
    global _received, _ignore_until, _timer_fired
    if _timer_fired:
        _timer_fired = False
        return _expire(number, frame)
    now = time.monotonic()
    if _received is None:
        _received, _ignore_until = signal.Signals(number), now + DUPLICATE_SECONDS
        _start_timer(now)
    elif now >= _ignore_until:
        _ignore_until = now + DUPLICATE_SECONDS
        raise Cancelled
    return None


def _start_timer(now: float) -> None:
    global _timer_due
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, GRACE_SECONDS, REPEAT_SECONDS)
    else:
        _timer_due = now + GRACE_SECONDS


def _run_timer() -> None:
    """Be the timer, in a thread: raise a signal in the main thread when the timer is due."""
    global _timer_fired
    while True:
        time.sleep(REPEAT_SECONDS)
        due = _timer_due  # the main thread may stop the timer at any moment
        if due is not None and time.monotonic() >= due:
            _timer_fired = True
            signal.raise_signal(signal.SIGINT)


def _expire(number: int, frame: FrameType | None) -> None:
    if not _uninterrupted and not _is_importing(frame):
        check()


def _is_importing(frame: FrameType | None) -> bool:
    """Whether a module is being imported in the frame or in one of its callers."""
    while frame and frame.f_code.co_filename != "<frozen importlib._bootstrap>":
        frame = frame.f_back
    return frame is not None
