"""The time that a search may take."""

import time
from collections.abc import Callable


class Budget:
    """A limit of the time of a search, which begins with the search's first fit.

    Args:
        seconds: None: no limit.
        n_later: fits that follow the search; of the limit, as much is kept for them as so many fits
            of the search took, but at most half.
        clock: gives seconds that never go back.
    """

    def __init__(
        self,
        seconds: float | None,
        n_later: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.seconds, self.n_later, self.clock = seconds, n_later, clock
        self._start: float | None = None
        self._n_done = 0
        self._spent = False

    def start(self) -> None:
        """Begin, unless this has been called before."""
        if self._start is None:
            self._start = self.clock()

    def tell(self) -> None:
        """Take note that a fit has ended."""
        self._n_done += 1

    def spent(self) -> bool:
        """Whether no more fits may run; once True, it stays True."""
        if self.seconds is not None and not self._spent:
            elapsed = self._elapsed()
            later = self.n_later * elapsed / self._n_done if self._n_done else 0
            self._spent = elapsed + min(later, self.seconds / 2) >= self.seconds
        return self._spent

    def share(self) -> float:
        """The share of the limit that is spent; 0 where there is no limit."""
        return self._elapsed() / self.seconds if self.seconds else 0.0

    def rest(self) -> "Budget":
        """The time that is left, which begins with the next fit."""
        left = None if self.seconds is None else max(0.0, self.seconds - self._elapsed())
        return Budget(left, clock=self.clock)

    def _elapsed(self) -> float:
        return 0.0 if self._start is None else self.clock() - self._start
