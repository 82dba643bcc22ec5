"""A recipe trained by several processes, which break off at a batch where one is given: run by torchrun."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from testudo.run import train
from testudo.training import journal


class Stopper:
    """Breaks off after some batches."""

    def step(self, done, total):
        if done == int(sys.argv[3]):
            raise SystemExit(9)

    def epoch(self, record):
        pass


if __name__ == "__main__":
    torch.set_num_threads(1)
    journal.SAVE_EVERY = -1.0
    train(sys.argv[1], sys.argv[2], watchers=(Stopper(),))
    names = [(task / "comm").read_text() for task in Path("/proc/self/task").glob("*")]
    assert not [name for name in names if "gloo" in name], "the group of processes outlives the run"
