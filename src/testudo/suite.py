"""The attacks that a model is judged by: by name, or from a TOML file."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from testudo.attacks.apgd import APGD
from testudo.attacks.base import Attack
from testudo.attacks.ensemble import AutoAttack
from testudo.attacks.fgsm import FGSM
from testudo.attacks.houdini import Houdini
from testudo.attacks.label_surrogates import BinaryCrossEntropy, MultiLabelMargin
from testudo.attacks.mim import MIM
from testudo.attacks.number_surrogates import Cosine, L1Error, L2Error
from testudo.attacks.objective import Objective
from testudo.attacks.pgd import PGD
from testudo.attacks.surrogates import CrossEntropy, JensenShannon, MaskedCrossEntropy, Surrogate, kind
from testudo.attacks.threat import L2, Linf, Threat
from testudo.balance.base import Balance
from testudo.balance.fixed import Equal
from testudo.balance.minmax import MinMax
from testudo.balance.normalised import Normalised
from testudo.balance.softmin import Softmin
from testudo.data.radiographs import Radiographs
from testudo.data.wrapped import innermost
from testudo.errors import TestudoError, unknown
from testudo.parts import build
from testudo.recipe import Recipe, table
from testudo.registry import BALANCES, SURROGATES, THREATS
from testudo.reports.wording import radius
from testudo.tasks.classification import Classification
from testudo.tasks.normals import Normals
from testudo.tasks.segmentation import Segmentation
from testudo.tasks.task import Task

Suite = dict[str, Attack]
LEVEL = 1 / 255
BY_KIND: dict[str, tuple[Surrogate, ...]] = {
    "classes": (CrossEntropy(), MaskedCrossEntropy(), JensenShannon()),
    "labels": (BinaryCrossEntropy(), MultiLabelMargin()),
    "numbers": (L1Error(), L2Error()),
}


def fast(recipe: Recipe, tasks: Sequence[Task]) -> Suite:
    """FGSM, PGD-20 and MIM-20 on the main (first) task: Linf at 2, 4 and 8/255, L2 at 0.5."""
    objective, suite = _main(tasks), {}
    for threat in (*(Linf(level * LEVEL) for level in (2, 4, 8)), L2(0.5)):
        suite[f"fgsm {ball(threat)}"] = FGSM(threat, objective)
        suite[f"pgd20 {ball(threat)}"] = PGD(threat, objective, steps=20)
        suite[f"mim20 {ball(threat)}"] = MIM(threat, objective, steps=20)
    return suite


def standard(recipe: Recipe, tasks: Sequence[Task]) -> Suite:
    """PGD-20 on the main task, and the strongest there is for it, in the ball that the recipe trains or validates for.

    For a classification that is AutoAttack. For any other task it is the worst of APGD with 100 steps on each
    surrogate that fits it and, where there are several tasks, on all of them with equal, min-max and softmin weights;
    it is told as ``worst case`` beside the attacks themselves.
    """
    threat, objective = _threat(recipe), _main(tasks)
    suite: Suite = {f"pgd20 {ball(threat)}": PGD(threat, objective, steps=20)}
    if isinstance(tasks[0], Classification):
        return suite | {f"autoattack {ball(threat)}": AutoAttack(threat, objective)}
    more = (Cosine(),) if isinstance(tasks[0], Normals) else ()
    for surrogate in (*BY_KIND[kind(tasks[0])], *more):
        name = SURROGATES.name_of(type(surrogate))
        aimed = Objective(objective.tasks, surrogate=surrogate)
        suite[f"apgd100 {name} {ball(threat)}"] = APGD(threat, aimed, steps=100)
    for balance in (Equal(), MinMax(), Softmin()) if len(tasks) > 1 else ():
        name = BALANCES.name_of(type(balance))
        suite[f"apgd100 all {name} {ball(threat)}"] = APGD(threat, Objective(balance=balance), steps=100)
    return suite


def paper_mao(recipe: Recipe, tasks: Sequence[Task]) -> Suite:
    """Mao et al. 2020, section 5.2: Linf at 1, 2, 4, 8, 16/255, steps of 1/255, the last images count.

    At each eps FGSM and PGD of min(eps + 4, ceil(1.25 eps)) steps (eps in 255ths), on the main task and on all. At
    4/255 PGD of 10, 20, 50 and 100 steps, MIM and (on classes) Houdini of 100. The released code's MIM and Houdini
    clamp wrongly and attack a smaller ball; these do not.
    """
    suite: Suite = {}
    for level in (1, 2, 4, 8, 16):
        threat, steps = Linf(level * LEVEL), min(level + 4, math.ceil(1.25 * level))
        suite[f"fgsm {ball(threat)}"] = FGSM(threat, _main(tasks), "last")
        suite[f"pgd{steps} {ball(threat)}"] = _pgd(threat, _main(tasks), steps, LEVEL)
        if len(tasks) > 1:
            suite[f"pgd{steps} all {ball(threat)}"] = _pgd(threat, Objective(), steps, LEVEL)
    threat = Linf(4 * LEVEL)
    for steps in (10, 20, 50, 100):
        suite[f"pgd{steps} {ball(threat)}"] = _pgd(threat, _main(tasks), steps, LEVEL)
    suite[f"mim100 {ball(threat)}"] = MIM(threat, _main(tasks), "last", steps=100, step=LEVEL)
    if kind(tasks[0]) == "classes":
        houdini = Houdini("iou" if isinstance(tasks[0], Segmentation) else "error")
        aimed = Objective((tasks[0].name,), surrogate=houdini)
        suite[f"houdini100 {ball(threat)}"] = _pgd(threat, aimed, 100, LEVEL)
    return suite


def paper_contrastive(recipe: Recipe, tasks: Sequence[Task]) -> Suite:
    """Multitask Learning With Self-Supervision (2021): FGSM and PGD-7, -20, -50 at Linf 8/255, steps of 2/255."""
    threat, objective = Linf(8 * LEVEL), _main(tasks)
    suite: Suite = {f"fgsm {ball(threat)}": FGSM(threat, objective, "last")}
    return suite | {f"pgd{n} {ball(threat)}": _pgd(threat, objective, n, 2 * LEVEL) for n in (7, 20, 50)}


def paper_gat(recipe: Recipe, tasks: Sequence[Task]) -> Suite:
    """Guided Adversarial Training (2023): PGD-10 from one random start and AutoAttack, Linf 8/255, X-rays 4/255.

    Steps are of 2/255. AutoAttack is left out where the main task is no classification.
    """
    small = isinstance(innermost(recipe.data), Radiographs)
    threat, objective = Linf((4 if small else 8) * LEVEL), _main(tasks)
    suite: Suite = {f"pgd10 {ball(threat)}": _pgd(threat, objective, 10, 2 * LEVEL)}
    if isinstance(tasks[0], Classification):
        suite[f"autoattack {ball(threat)}"] = AutoAttack(threat, objective)
    return suite


def paper_minmax(recipe: Recipe, tasks: Sequence[Task]) -> Suite:
    """Robust Multi-task Adversarial Attacks Using Min-max Optimization (2025), on all tasks, 10 steps, no random start.

    Equal, normalised and (raw) min-max weights; Linf at 1, 2, 4, 8/255 with steps of eps/4, L2 at 2.5 and 5 with
    steps of eps/5. The paper's images lie in [-1, 1], so that its eps are twice these.
    """
    suite: Suite = {}
    balances: dict[str, Balance] = {"equal": Equal(), "normalised": Normalised(), "minmax": MinMax("raw")}
    for threat, part in (*((Linf(level * LEVEL), 4) for level in (1, 2, 4, 8)), (L2(2.5), 5), (L2(5.0), 5)):
        for name, balance in balances.items():
            step = float(threat.eps) / part
            suite[f"pgd10 {name} {ball(threat)}"] = PGD(
                threat, Objective(balance=balance), "last", steps=10, step=step, random_start=False
            )
    return suite


SUITES: dict[str, Callable[[Recipe, Sequence[Task]], Suite]] = {
    "fast": fast,
    "standard": standard,
    "paper-mao": paper_mao,
    "paper-contrastive": paper_contrastive,
    "paper-gat": paper_gat,
    "paper-minmax": paper_minmax,
    "recipe": lambda recipe, tasks: recipe.suite or fast(recipe, tasks),
}


def suite_of(name: str, recipe: Recipe, tasks: Sequence[Task]) -> Suite:
    """The suite called ``name`` (``"recipe"``: the recipe's own), or a TOML file's ``[attacks.NAME]`` tables.

    Args:
        name: a key of :data:`SUITES`, or a file.
        recipe: that of the run to be judged.
        tasks: the model's, the main one first.

    Raises:
        TestudoError: neither a name nor a file, or a file with a mistake in it.
    """
    if name in SUITES:
        return SUITES[name](recipe, tasks)
    if not Path(name).exists():
        if Path(name).suffix:
            raise TestudoError(f"no suite file at {name}")
        raise unknown("suite", name, SUITES)
    values = table(name)
    attacks = values.pop("attacks", None)
    if values or not isinstance(attacks, dict) or not attacks:
        raise TestudoError(f"{name}: a suite file holds [attacks.NAME] tables and nothing else")
    if "clean" in attacks:
        raise TestudoError(f"{name}: no attack may be called 'clean', which names the clean images")
    return {key: build(Attack, value, name, f"attacks.{key}") for key, value in attacks.items()}


def ball(threat: Threat) -> str:
    """What a threat is called in the names of attacks.

    >>> ball(Linf(8 / 255)), ball(L2(0.5))
    ('linf 8/255', 'l2 0.5')
    """
    return f"{THREATS.name_of(type(threat))} {radius(float(threat.eps))}"


def _main(tasks: Sequence[Task]) -> Objective:
    return Objective((tasks[0].name,))


def _pgd(threat: Threat, objective: Objective, steps: int, step: float) -> PGD:
    """PGD as papers report it: of the images at which it ends."""
    return PGD(threat, objective, "last", steps=steps, step=step)


def _threat(recipe: Recipe) -> Threat:
    """The ball of the validation attack, else of the suite's first, else Linf 8/255."""
    attack = recipe.validation or next(iter(recipe.suite.values()), None)
    return attack.threat if attack else Linf(8 * LEVEL)
