"""NT-Xent over rows that two processes share, unevenly: run by the test in each of them, or imported for one alone."""

from __future__ import annotations

import json
import sys

import torch
import torch.distributed as dist

from testudo.processes import average, count, rank
from testudo.tasks.contrast import Contrast
from testudo.training.methods.base import mean_loss

TASK = Contrast("t", temperature=0.3, channels=4)
NUMBERS = torch.tensor([3, 0, 9, 3, -1, 9, 0, 5, 7, 7, 7, -1])
SHARES = {  # which rows each process holds
    "uneven": (slice(0, 5), slice(5, 12)),
    "strangers": (slice(0, 3), slice(3, 12)),  # no pair lies in the first share
    "nothing known": (slice(4, 5), slice(0, 4)),
    "no row": (slice(0, 12), slice(12, 12)),
}


def told(share):
    """The loss, its gradient, what is valid and found, over the rows of ``share``: all that a step needs."""
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(12, 6, generator=draw, dtype=torch.float64)
    weight = torch.randn(6, 4, generator=draw, dtype=torch.float64).requires_grad_()
    rows = SHARES[share][rank()] if count() > 1 else torch.cat([torch.arange(12)[rows] for rows in SHARES[share]])
    prediction, target = images[rows] @ weight, NUMBERS[rows]
    loss = mean_loss(TASK, prediction, target)
    loss.backward()
    metric = TASK.metric()
    metric.update(prediction.detach(), target)
    valid, score = TASK.valid(target), TASK.score(prediction, target).nan_to_num(-1)
    return {
        "loss": float(average(loss)),
        "gradient": average(weight.grad).flatten().tolist(),
        "metric": float(metric.compute()),
        "each": [valid.tolist(), score.tolist(), TASK.record(prediction, target)[valid].tolist()],
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    store, number, out = sys.argv[1:]
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=int(number), world_size=2)
    found = {share: told(share) for share in SHARES}
    dist.barrier()
    dist.destroy_process_group()
    with open(out, "w") as file:
        json.dump(found, file)
