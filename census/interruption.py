"""SIGINT and SIGTERM: where they may break in, and how anybody learns that they came.

An exception raised by a signal can be lost or disguised by the code that it breaks into, and can
leave a database locked. So a signal is remembered as well as raised, and held off around calls of
MLflow.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

_caught: list[signal.Signals] = []
_held = False


class Interrupted(BaseException):
    """A signal asked the process to end. Not an ``Exception``, so that few swallow it."""


def install() -> None:
    """Take both signals."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _handle)


def caught() -> signal.Signals | None:
    """The first signal that came, if one did."""
    return _caught[0] if _caught else None


@contextmanager
def held_off(then_raise: bool = True) -> Iterator[None]:
    """Let the first signal that comes wait for the end of the body; a second one breaks in."""
    global _held
    _held = True
    try:
        yield
    finally:
        _held = False
    if then_raise:
        check()


def check() -> None:
    """Raise ``Interrupted`` if a signal came, whatever became of its own exception."""
    if _caught:
        raise Interrupted


def _handle(number: int, frame) -> None:
    global _held
    _caught.append(signal.Signals(number))
    if not _held:
        raise Interrupted
    _held = False
