"""Square in L1 against the published code on a whole test set, where one image is 0.1 points.

``python -m benchmarks.square [SEED ...]``, for the model of ``benchmarks.autoattack``; it prints Markdown. Both attack
the images that PGD leaves standing, the others count as beaten for both. It takes about half an hour for a seed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from pyautoattack import AutoAttack as Published
from torch import Tensor

import testudo as td
from benchmarks.autoattack import SMALL, Logits

HERE = Path(__file__).parent
BALL = td.L1(12.0)
QUERIES, BATCH = 5000, 64


def standing(net: Logits, images: Tensor, labels: Tensor) -> Tensor:
    """(N,) which images are told right."""
    with torch.no_grad():
        return net(images).argmax(1) == labels


def ours(net: Logits, batch: td.Batch, seed: int) -> Tensor:
    """Our attack's images."""
    how = td.Objective((net.task,), surrogate=td.Margin())
    return td.Square(BALL, how, "first", seed, queries=QUERIES, rescale=False)(net.model, batch).images


def theirs(net: Logits, batch: td.Batch, seed: int) -> Tensor:
    """The published attack's images."""
    eps = float(BALL.eps)
    attack = Published(net, attacks=["square"], version="custom", eps=eps, norm="L1", seed=seed)
    attack.square.n_queries = QUERIES
    found = attack.run_standard_evaluation(batch.images, batch.targets[net.task], batch_size=len(batch))
    return found[0] if isinstance(found, tuple) else found


def main(seeds: list[int]) -> None:
    """Attack and tell."""
    run = td.train(HERE.parent / "recipes" / "cifar10-madry.toml", HERE.parent / "runs" / "bench-cifar10-madry", SMALL)
    net = Logits(run.model(), run.tasks[0].name).eval()
    whole = run.recipe.data.load("test").batch(range(len(run.recipe.data.load("test"))))
    hit = td.PGD(BALL, td.Objective((net.task,)), steps=40)(net.model, whole)
    hard = whole[standing(net, hit.images, whole.targets[net.task])]
    print(f"{len(whole)} test images, {len(hard)} stand after PGD-40.\n")
    print("| seed | testudo | published |\n| --- | --- | --- |")
    for seed in seeds:
        counts = []
        for attack in (ours, theirs):
            left = [standing(net, attack(net, part, seed), part.targets[net.task]) for part in hard.split(BATCH)]
            counts.append(int(torch.cat(left).sum()))
        print(f"| {seed} | " + " | ".join(f"{n} ({n / len(whole):.1%})" for n in counts) + " |", flush=True)


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [3, 4])
