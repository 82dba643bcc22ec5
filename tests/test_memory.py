"""Memory that was given back stays with the process, unless the environment says otherwise."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
import torch
import testudo as td
from testudo.memory import give_back, keep_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(5, 1_000_000)  # 20 MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() >> 20

before = faults()
model = td.wrap(torch.nn.Flatten(), [td.classification("a", classes=4)])
td.fast(model)
faults()  # the first block must be had from the system
kept = faults()
held = [torch.ones(1_000_000) for _ in range(50)]  # 200 MB
del held
full = resident()
give_back()
print(keep_memory(), before, kept, full, resident())
"""


def told(**settings: str) -> list[str]:
    """What a fresh interpreter says."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=plain | settings, capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout.split()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs the GNU C library")
def test_blocks_are_reused_once_a_fast_copy_was_made() -> None:
    kept, before, after, full, left = told()
    assert kept == "True"
    assert int(after) < 0.1 * int(before)
    assert int(left) < int(full) - 150  # MiB of the 200 that were free


def test_what_the_environment_says_stands() -> None:
    kept, before, after, *_ = told(MALLOC_TRIM_THRESHOLD_="131072")
    assert kept == "False"
    assert int(after) > 0.5 * int(before)
