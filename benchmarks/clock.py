"""Works measured side by side: each once a round, so that what slows the machine slows them all; medians over the rounds."""

import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping


class Unavailable(Exception):
    """This cannot be measured here, for the reason in the message."""


class Measured:
    """Seconds of each work.

    Attributes:
        missing: work -> why it could not be measured.
    """

    def __init__(self) -> None:
        self._seconds: defaultdict[str, list[float]] = defaultdict(list)
        self.missing: dict[str, str] = {}

    def run(self, works: Mapping[str, Callable[[], object]], rounds: int) -> None:
        """Do every work once a round.

        Args:
            works: name -> what to do; if it returns a float, that is taken for its seconds.
            rounds: how often.
        """
        for number in range(rounds):
            for name, work in works.items():
                if name in self.missing:
                    continue
                started = time.perf_counter()
                try:
                    own = work()
                except Unavailable as error:
                    self.missing[name] = str(error)
                    print(f"  {name}: not measured: {error}", file=sys.stderr)
                    continue
                seconds = own if isinstance(own, float) else time.perf_counter() - started
                self._seconds[name].append(seconds)
                print(f"  round {number + 1}: {name}: {seconds:.3f} s", file=sys.stderr, flush=True)

    def __getitem__(self, name: str) -> float:
        """The median, in seconds; nan if it was not measured."""
        return statistics.median(self._seconds[name]) if self._seconds[name] else float("nan")

    def spread(self, name: str) -> str:
        """The least and the most."""
        runs = self._seconds[name]
        return f"{min(runs):.2f}-{max(runs):.2f}" if runs else ""
