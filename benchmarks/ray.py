"""What Ray costs over local worker processes: one small study, run by two workers either way.

``python -m benchmarks.ray`` prints Markdown, for ``ray.md``. Six runs of digits, a few seconds each; each way in a
process of its own, by turns. Times are by the clock, so nothing else should run; the load of the machine is printed.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from testudo.recipe import read
from testudo.studies.runner import Runner
from testudo.studies.study import Arms, Variant

HERE = Path(__file__).parent
WORKERS, SEEDS, TURNS = 2, 6, 3
CHANGES = {"trainer.epochs": 4, "trainer.validate_every": 4}


def study() -> Arms:
    """One variant, six seeds."""
    recipe = read(HERE.parent / "recipes" / "digits-standard.toml", CHANGES)
    return Arms(tuple(range(SEEDS)), "six runs", arms=(Variant("standard", recipe, ""),))


def timed(way: str, place: Path) -> tuple[float, float]:
    """Seconds until both workers had begun a run, and in all."""
    began = time.time()
    Runner(WORKERS, on=way)(study(), place / "study", lambda share, note: None)
    whole = time.time() - began
    first = sorted(path.stat().st_mtime for path in place.glob("pool/*/run.json"))  # written once, as a run begins
    return first[WORKERS - 1] - began, whole


def alone(way: str) -> tuple[float, float]:
    """The same in a process of its own."""
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-m", "benchmarks.ray", way, place]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    begun, whole = map(float, done.stdout.split()[-2:])
    return begun, whole


def main() -> None:
    """Take turns, and tell."""
    load = os.getloadavg()[0]
    told = {way: [] for way in ("local", "ray")}
    for _ in range(TURNS):
        for way, times in told.items():
            times.append(alone(way))
    loads = f"load before it {load:.1f}, after it {os.getloadavg()[0]:.1f}"
    print(f"{SEEDS} runs, {WORKERS} workers, {TURNS} turns; {loads}.\n")
    print("| workers | start-up, s | from then on, s | in all, s | in all, ratio (median; least to greatest) |")
    print("| --- | --- | --- | --- | --- |")
    floor = [whole for _, whole in told["local"]]
    for way, times in told.items():
        begun, whole = (statistics.median(column) for column in zip(*times, strict=True))
        rest = statistics.median(end - start for start, end in times)
        ratios = [end / base for (_, end), base in zip(times, floor, strict=True)]
        ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"| {way} | {begun:.1f} | {rest:.1f} | {whole:.1f} | {ratio} |")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(*timed(sys.argv[1], Path(sys.argv[2])))
    else:
        main()
