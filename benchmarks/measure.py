"""How long each of several ways takes, in turn, so that a busy moment meets them all alike."""

import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Way:
    """One way to do it.

    `prepare` runs before each repetition and is not measured; `once` is for what is so slow that one repetition says enough.
    """

    name: str
    do: Callable[[], object]
    prepare: Callable[[], object] = lambda: None
    once: bool = False


@dataclass
class Result:
    """Seconds of every repetition of every way; the first way is what the others are compared with."""

    title: str
    seconds: dict[str, list[float]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def median_s(self, name: str) -> float:
        """Return the median of a way."""
        return statistics.median(self.seconds[name] or [float("nan")])

    def ratio(self, name: str) -> float:
        """How many times as fast as the first way."""
        return self.median_s(next(iter(self.seconds))) / self.median_s(name)

    def lines(self) -> list[str]:
        """Return the result as a table."""
        shown = [f"\n{self.title}"]
        for name, seconds in self.seconds.items():
            if not seconds:
                shown.append(f"  {name:<52}  failed")
                continue
            spread = f"{min(seconds):6.2f} to {max(seconds):6.2f}"
            shown.append(f"  {name:<52} {self.median_s(name):7.2f} s   {spread} s   x {self.ratio(name):5.2f}")
        return shown + [f"  a repetition failed: {failure}" for failure in self.failures]


def compare(title: str, ways: list[Way], *, repetitions: int) -> Result:
    """Return what each way took; repetitions are interleaved."""
    result = Result(title, {way.name: [] for way in ways})
    for repetition in range(repetitions):
        for way in ways:
            if way.once and repetition:
                continue
            way.prepare()
            began = time.perf_counter()
            try:
                way.do()
            except (RuntimeError, subprocess.SubprocessError) as error:  # on a busy machine others give up, too
                result.failures.append(f"{way.name}: {error}")
                continue
            result.seconds[way.name].append(time.perf_counter() - began)
    return result
