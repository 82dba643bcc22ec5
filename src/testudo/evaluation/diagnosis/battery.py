"""The attacks that a diagnosis makes, each once, whichever checks look at what came of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from testudo.attacks.apgd import APGD
from testudo.attacks.base import Attack
from testudo.attacks.ensemble import AutoAttack, WorstCase
from testudo.attacks.fgsm import FGSM
from testudo.attacks.mim import MIM
from testudo.attacks.noise import Noise
from testudo.attacks.objective import Objective
from testudo.attacks.pgd import PGD
from testudo.attacks.problem import Keep
from testudo.attacks.square import Square
from testudo.attacks.threat import Threat
from testudo.errors import TestudoError
from testudo.tasks.classification import Classification
from testudo.tasks.task import Task

WIDER = (2, 4)  # times eps: the balls between the threat's own and the whole box
SAMPLES = 10  # of a model that draws random numbers, to average over


@dataclass(frozen=True)
class Battery:
    """How hard each attack tries. The defaults cost less than one AutoAttack of the same examples.

    Args:
        steps: of PGD, which stands for what papers report.
        restarts: of PGD, where it is tried whether more of them help.
        longer: steps of PGD where it is tried whether more of them help: as many passes as the restarts.
        strong: steps of each search of the gradient part of AutoAttack.
        queries: of Square.
        draws: of random noise.
        unbounded: steps of PGD in the whole box.
        seed: of random starts.

    Raises:
        TestudoError: a number below 1.

    >>> from testudo.attacks.threat import Linf
    >>> digit = Classification("digit", classes=10)
    >>> list(Battery().attacks(digit, Linf(0.1), pixels=64))
    ['fgsm', 'pgd', 'pgd restarts', 'pgd longer', 'pgd margin', 'gradients', 'square', 'noise',
     'pgd 2 eps', 'pgd 4 eps', 'pgd box']
    """

    steps: int = 20
    restarts: int = 5
    longer: int = 100
    strong: int = 100
    queries: int = 1000
    draws: int = 50
    unbounded: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "restarts", "longer", "strong", "queries", "draws", "unbounded"):
            if getattr(self, name) < 1:
                raise TestudoError(f"battery: {name} must be at least 1, got {getattr(self, name)}")

    def attacks(self, task: Task, threat: Threat, pixels: int) -> dict[str, Attack]:
        """Every attack by name, on one task in one ball; ``pixels`` are the values of an image.

        A classification that is beaten is left alone. ``"gradients"`` is AutoAttack without Square, which stands for
        itself, so that both together are one AutoAttack with fewer queries. The first of the restarts is ``"pgd"``.
        """
        aim, keep = Objective((task.name,)), _keep(task)
        pgd = self._pgd(threat, aim, keep)
        made: dict[str, Attack] = {
            "fgsm": FGSM(threat, aim, "last"),
            "pgd": pgd,
            "pgd restarts": replace(pgd, restarts=self.restarts),
            "pgd longer": replace(pgd, steps=self.longer),
        }
        square: Attack = Square(threat, aim, keep, self.seed, queries=self.queries)
        if isinstance(task, Classification):
            members = self._auto(threat, aim).members({task.name: task})
            square = members.pop("square")
            margin = replace(aim, surrogate=square.objective.surrogate)
            made["pgd margin"] = replace(pgd, objective=margin)
            made["gradients"] = WorstCase(threat, margin, keep, attacks=members)
        made |= {"square": square, "noise": Noise(threat, aim, keep, self.seed, draws=self.draws)}
        whole = box(threat, pixels)
        wider = {f"pgd {times} eps": replace(threat, eps=times * float(threat.eps)) for times in WIDER}
        made |= {n: replace(pgd, threat=ball) for n, ball in wider.items() if float(ball.eps) < float(whole.eps)}
        return made | {"pgd box": replace(pgd, threat=whole, steps=self.unbounded)}

    def transfer(self, task: Task, threat: Threat) -> Attack:
        """The attack on another model whose images are tried on this one: momentum, made for transfer (Dong 2018)."""
        return MIM(threat, Objective((task.name,)), "last", self.seed, steps=self.steps)

    def averaged(self, task: Task, threat: Threat) -> Attack:
        """PGD on a model that draws random numbers, averaged over several draws a step (Athalye et al. 2018)."""
        return replace(self._pgd(threat, Objective((task.name,)), _keep(task)), samples=SAMPLES)

    def _pgd(self, threat: Threat, aim: Objective, keep: Keep) -> PGD | APGD:
        """In L1 it is APGD that is meant: PGD's steps are honestly weak there (Croce and Hein 2021)."""
        kind = APGD if threat.p == 1 else PGD
        return kind(threat, aim, keep, self.seed, steps=self.steps)

    def _auto(self, threat: Threat, aim: Objective) -> AutoAttack:
        return AutoAttack(threat, aim, seed=self.seed, steps=self.strong, queries=self.queries)


def _keep(task: Task) -> Keep:
    return "best" if task.decision is None else "first"


def box(threat: Threat, pixels: int) -> Threat:
    """The least ball of this norm that holds the whole box around any of its points.

    >>> from testudo.attacks.threat import L2, Linf
    >>> box(Linf(0.1), 64).eps, box(L2(0.5), 64).eps
    (1.0, 8.0)
    """
    return replace(threat, eps=1.0 if threat.p == math.inf else float(pixels ** (1 / threat.p)))


def passes(attacks: Mapping[str, Attack]) -> dict[str, float]:
    """About how many passes each attack makes on an example that stands, for a progress bar."""
    return {name: float(_passes(attack)) for name, attack in attacks.items()}


def _passes(attack: Attack) -> int:
    if isinstance(attack, WorstCase):
        return sum(_passes(member) for member in attack.attacks.values())
    each = 1 if isinstance(attack, Square | Noise) else 3 * attack.samples
    return each * attack.iterations * attack.runs
