"""Timing that survives a noisy machine: the arms take turns, and a ratio is taken within each turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple


class Timed(NamedTuple):
    """Seconds (median), and the median ratio to the floor with the turns' least and greatest."""

    seconds: float
    ratio: float
    low: float
    high: float


def take_turns(arms: Mapping[str, Callable[[], object]], turns: int) -> dict[str, Timed]:
    """Time every arm once a turn; the first arm is the floor. Each runs once before, to warm up."""
    for arm in arms.values():
        arm()
    spent: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(turns):
        for name, arm in arms.items():
            began = time.perf_counter()
            arm()
            spent[name].append(time.perf_counter() - began)
    floor = next(iter(spent.values()))
    told = {}
    for name, seconds in spent.items():
        ratios = [mine / base for mine, base in zip(seconds, floor, strict=True)]
        told[name] = Timed(statistics.median(seconds), statistics.median(ratios), min(ratios), max(ratios))
    return told


def as_table(told: Mapping[str, Timed], target: Mapping[str, float]) -> list[str]:
    """Markdown lines; ``target`` holds the ratio that an arm is to stay below."""
    lines = [
        "| arm | seconds | ratio to the floor (median; least to greatest) | to reach |",
        "| --- | --- | --- | --- |",
    ]
    for name, timed in told.items():
        goal = f"<= {target[name]}" if name in target else ""
        span = f"{timed.ratio:.2f} ({timed.low:.2f} to {timed.high:.2f})"
        lines.append(f"| {name} | {timed.seconds:.3f} | {span} | {goal} |")
    return lines
