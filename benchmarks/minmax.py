"""What min-max weights cost: an attack on three tasks with them, against the same attack with equal weights."""

from __future__ import annotations

import torch

import testudo as td
from benchmarks.timing import as_table, take_turns


def run(turns: int = 9) -> list[str]:
    """Markdown lines with the result."""
    tasks = [td.Classification("fine", classes=100), td.Classification("coarse", classes=20), td.Regression("age")]
    model = td.MultiTaskModel(td.PreActResNet18(width=32).build(3), tasks, [0.5] * 3, [0.25] * 3).eval()
    draw = torch.Generator().manual_seed(0)
    targets = {
        "fine": torch.randint(100, (64,), generator=draw),
        "coarse": torch.randint(20, (64,), generator=draw),
        "age": torch.rand(64, generator=draw),
    }
    batch = td.Batch(torch.rand(64, 3, 32, 32, generator=draw), targets)
    copy = td.fast(model)
    attacks = {
        name: td.PGD(steps=10, random_start=False, objective=td.Objective(balance=balance))
        for name, balance in {"equal weights (the floor)": td.Equal(), "min-max": td.MinMax()}.items()
    }
    told = take_turns({name: lambda attack=attack: attack(copy, batch) for name, attack in attacks.items()}, turns)
    passes = {(hit.forwards, hit.backwards) for hit in (attack(copy, batch) for attack in attacks.values())}
    return [
        "## A min-max step against an equal-weight step (3 tasks, 64 images, PGD-10)",
        "",
        f"Passes (forwards, backwards) of both: {' and '.join(map(str, sorted(passes)))}.",
        "",
        *as_table(told, {"min-max": 1.03}),
    ]
