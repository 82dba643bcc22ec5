"""The attacks that a model is judged by: by name, or from a TOML file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from testudo.attacks.base import Attack
from testudo.attacks.fgsm import FGSM
from testudo.attacks.mim import MIM
from testudo.attacks.objective import Objective
from testudo.attacks.pgd import PGD
from testudo.attacks.threat import L2, Linf
from testudo.errors import TestudoError, unknown
from testudo.recipe import build, table

RADII = (2 / 255, 4 / 255, 8 / 255)
NAMES = ("fast", "recipe")


def fast(tasks: Sequence[str]) -> dict[str, Attack]:
    """FGSM, PGD-20 and MIM-20 on the main (first) task: Linf at 2, 4 and 8/255, L2 at 0.5.

    >>> list(fast(["digit"]))[:2]
    ['fgsm linf 2/255', 'pgd20 linf 2/255']
    """
    objective = Objective(tasks=(tasks[0],))
    threats = {f"linf {eps * 255:.0f}/255": Linf(eps) for eps in RADII} | {"l2 0.5": L2(0.5)}
    suite: dict[str, Attack] = {}
    for name, threat in threats.items():
        suite[f"fgsm {name}"] = FGSM(threat=threat, objective=objective)
        suite[f"pgd20 {name}"] = PGD(threat=threat, objective=objective, steps=20)
        suite[f"mim20 {name}"] = MIM(threat=threat, objective=objective, steps=20)
    return suite


def suite_of(name: str, recipe_suite: dict[str, Attack], tasks: Sequence[str]) -> dict[str, Attack]:
    """The suite called ``name`` (``"recipe"``: the recipe's own), or a TOML file's ``[attacks.NAME]`` tables.

    Raises:
        TestudoError: neither a name nor a file, or a file with a mistake in it.
    """
    if name == "recipe":
        return recipe_suite or fast(tasks)
    if name == "fast":
        return fast(tasks)
    if not Path(name).exists():
        if Path(name).suffix:
            raise TestudoError(f"no suite file at {name}")
        raise unknown("suite", name, NAMES)
    values = table(name)
    attacks = values.pop("attacks", None)
    if values or not isinstance(attacks, dict) or not attacks:
        raise TestudoError(f"{name}: a suite file holds [attacks.NAME] tables and nothing else")
    if "clean" in attacks:
        raise TestudoError(f"{name}: no attack may be called 'clean', which names the clean images")
    return {key: build(Attack, value, name, f"attacks.{key}") for key, value in attacks.items()}
