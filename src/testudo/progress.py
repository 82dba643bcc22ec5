"""How long work shows itself: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from testudo.environment import leading

QUIET = 10.0  # seconds between plain lines


class Meter:
    """A share of work done, shown on standard error with the time that is likely left."""

    def __init__(self, title: str, bar: Progress | None) -> None:
        self._title, self._bar = title, bar
        self._id: TaskID | None = bar.add_task(title, total=1.0, note="") if bar else None
        self._began = self._told = time.monotonic()
        self._first: float | None = None
        self._ended = False  # which is told once, however often it is heard

    def __call__(self, share: float, note: str = "") -> None:
        """``share`` of the work, 0 to 1, is done; ``note`` says what is going on."""
        if self._first is None:
            self._first = share  # a continued run begins with work that cost no time now
        if self._bar is not None and self._id is not None:
            self._bar.update(self._id, completed=share, note=note)
            return
        now = time.monotonic()
        if now - self._told >= QUIET or (share >= 1 and not self._ended):
            self._told, self._ended = now, share >= 1
            print(
                f"{self._title}: {share:.0%}, {self._left(share, now)}{note and ': '}{note}",
                file=sys.stderr,
                flush=True,
            )

    def _left(self, share: float, now: float) -> str:
        spent, gained = now - self._began, share - (self._first or 0.0)
        if share >= 1:
            return f"done in {clock(spent)}"
        return f"about {clock(spent * (1 - share) / gained)} left" if gained > 0.01 else f"{clock(spent)} so far"


@contextmanager
def meter(title: str) -> Generator[Meter, None, None]:
    """A :class:`Meter` for the duration of the block."""
    console = Console(stderr=True)
    if not console.is_terminal or not leading():
        yield Meter(title, None)
        return
    looks = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(elapsed_when_finished=False),
        TextColumn("[dim]{task.fields[note]}"),
    )
    with Progress(*looks, console=console) as bar:
        yield Meter(title, bar)


class Bar:
    """A training run's progress, for :func:`testudo.run.train`."""

    def __init__(self, shown: Meter) -> None:
        self._shown, self._share, self._note = shown, 0.0, ""

    def step(self, done: int, total: int) -> None:
        """A batch is done."""
        self._share = done / total
        if self._share < 1:  # the last batch is told with its epoch
            self._shown(self._share, self._note)

    def epoch(self, record: dict[str, Any]) -> None:
        """An epoch is done: its losses and scores."""
        parts = [f"epoch {record['epoch']}/{record['epochs']}"]
        parts += [f"{name} {value:.3f}" for name, value in record["terms"].items()]
        if "validation" in record:
            parts.append(f"validation {record['validation']['score']:.3f}")
        self._note = ", ".join(parts)
        self._shown(self._share, self._note)


def clock(seconds: float) -> str:
    """Seconds for people.

    >>> clock(75), clock(3990)
    ('1 min 15 s', '1 h 06 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
