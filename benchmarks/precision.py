"""Is an attack searched in bf16 as strong as one in float32? Robust accuracy on the same images, same starts."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import testudo as td
from testudo.errors import TestudoError

SEEDS, COUNT, RADII = (0, 1, 2), 1000, (0.25 / 255, 0.5 / 255, 1 / 255, 2 / 255, 4 / 255)


def run() -> list[str]:
    """Markdown lines with the result."""
    title = "## Robust accuracy of a bf16 search less that of a float32 search, PGD-10, CIFAR-10 sample"
    root = Path(os.environ.get("TESTUDO_DATA", "../shared/data")) / "cifar10"
    try:
        data = td.CIFAR10(str(root))
        examples = data.load("test")
    except TestudoError as error:
        return [title, "", f"Not run: {error}"]
    recipe = td.Recipe(
        name="precision",
        data=data,
        model=td.PreActResNet18(width=16),
        method=td.Standard(),
        tasks=("object",),
        trainer=td.Trainer(epochs=3, optimiser=td.Optimiser(lr=0.1), schedule=td.Schedule(warmup=0.1)),
    )
    with tempfile.TemporaryDirectory() as folder:
        model = td.train(recipe, Path(folder) / "run").model()
    batch = examples.batch(range(min(COUNT, len(examples))))
    copies = {"float32": td.fast(model, "float32"), "bf16": td.fast(model, "bf16")}
    lines = [
        title,
        "",
        f"Width-16 pre-activation ResNet-18, 3 epochs of standard training; {len(batch)} test images, "
        f"{len(SEEDS)} seeds of the random start; clean accuracy {accuracy(copies['float32'], batch):.1f} %.",
        "",
        "| eps (Linf) | float32, % | bf16, % | mean difference, points | to reach |",
        "| --- | --- | --- | --- | --- |",
    ]
    for eps in RADII:
        found = {
            name: [accuracy(copy, batch, td.PGD(threat=td.Linf(eps), seed=seed)) for seed in SEEDS]
            for name, copy in copies.items()
        }
        mean = {name: sum(values) / len(values) for name, values in found.items()}
        if 20 <= mean["float32"] <= 80:
            shown = {name: ", ".join(f"{value:.1f}" for value in values) for name, values in found.items()}
            gap = mean["bf16"] - mean["float32"]
            lines.append(f"| {eps * 255:g}/255 | {shown['float32']} | {shown['bf16']} | {gap:+.2f} | within 0.5 |")
    return lines


def accuracy(copy: td.Model, batch: td.Batch, attack: td.Attack | None = None) -> float:
    """Percent right, scored in float32."""
    rows = td.evaluate(copy, batch, {"attack": attack})
    return 100 * float(rows["score"].mean())
