"""SIGINT and SIGTERM: where they may break in, and how anybody learns that they came.

An exception raised by a signal can be lost or disguised by the code that it breaks into, and can
leave a module half imported or a database locked. So a signal is remembered as well as raised, and
held off around imports and calls of MLflow.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

PATIENCE = 3.0  # seconds; `mlflow run` passes one Ctrl-C on as two signals

_first: signal.Signals | None = None
_deaf_until = 0.0
_held = False


class Cancelled(BaseException):
    """A signal asked the process to end. Not an ``Exception``, so that few swallow it."""


def install() -> None:
    """Take both signals."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _handle)


def received() -> signal.Signals | None:
    """The first signal that came, if one did."""
    return _first


def check() -> None:
    """Raise ``Cancelled`` if a signal came, whatever became of its own exception."""
    if _first:
        raise Cancelled


@contextmanager
def held_off(then_raise: bool = True) -> Iterator[None]:
    """Let the first signal wait for the end of the body; one that comes later breaks in."""
    global _held
    before, _held = _held, True
    try:
        yield
    finally:
        _held = before
    if then_raise and not before:
        check()


def _handle(number: int, frame) -> None:
    global _first, _deaf_until
    if time.monotonic() < _deaf_until:
        return
    wait = _held and not _first
    _first = _first or signal.Signals(number)
    _deaf_until = time.monotonic() + PATIENCE
    if not wait:
        raise Cancelled
