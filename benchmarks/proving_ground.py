"""Which check of a diagnosis flags which of the models that fake robustness, as a table of Markdown.

``python -m benchmarks.proving_ground`` makes the models of ``tests/evaluation/diagnosis`` and looks at them as those
tests do, but each with a substitute of itself as its twin, in a few minutes of one core. The table in
``docs/diagnose.md`` is its output.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

import testudo as td
from testudo.evaluation.diagnosis.diagnose import CHECKS

MARKS = {"pass": "", "warn": "warn", "fail": "**fail**", "skipped": "–"}
Case = tuple[str, torch.nn.Module, td.Threat, int]  # name, network, ball, examples


def cases(fakes: Any, ground: Any, ball: td.Threat) -> Iterator[Case]:
    """Every model that the tests make: the fakes, the honest ones last."""
    plain, hardened = fakes.trained(fakes.network), fakes.hardened()
    for fake in ground.AROUND:
        yield first_words(fake), fake(plain), ball, 120
    yield first_words(fakes.Reversed), fakes.Reversed(plain), ball, 200
    for name, (make, _, _) in ground.TRAINED.items():
        yield f"trained with {name}", fakes.trained(make, 10), ball, 120
    yield "contrastive features, no adversarial image seen", fakes.contrastive(), ball, 120
    yield "trained with label smoothing of 0.7", fakes.squeezed(), ball, 120
    for which, threat in ground.HONEST:
        yield f"honest: {which}, {threat!r}", {"plain": plain, "hardened": hardened}[which], threat, 120
    yield "honest: linear", fakes.linear(), ball, 120


def first_words(fake: type) -> str:
    """The first clause of a docstring."""
    return re.split("[:;,.]", str(fake.__doc__))[0]


def main() -> None:
    """Look at each, and print."""
    torch.set_num_threads(1)
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    names = ("fakes", "conftest", "test_proving_ground")
    fakes, setting, ground = (import_module(f"evaluation.diagnosis.{name}") for name in names)
    images = fakes.digits("train").batch(range(600)).images
    print(f"{setting.QUICK!r}\n")
    print("| model | " + " | ".join(check.name for check in CHECKS) + " |")
    print("| --- |" + " --- |" * len(CHECKS))
    for name, module, threat, examples in cases(fakes, ground, setting.BALL):
        model, how = td.wrap(module, [fakes.DIGIT]), td.Examination(examples, setting.QUICK)
        twin = td.substitute(model, images, ["digit"])
        found = td.diagnose(model, fakes.digits("test"), threat, twin=twin, how=how)
        marks = (MARKS[found.of(check.name).verdict] for check in CHECKS)
        print(f"| {name} | {' | '.join(marks)} |", flush=True)


if __name__ == "__main__":
    main()
