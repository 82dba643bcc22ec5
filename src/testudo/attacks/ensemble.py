"""Several attacks, of which the worst counts: AutoAttack for a classifier, any suite for any tasks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

from torch import Tensor

from testudo.attacks.apgd import APGD
from testudo.attacks.base import Attack
from testudo.attacks.fab import FAB, one_classification
from testudo.attacks.problem import Keep, Problem
from testudo.attacks.square import Square
from testudo.attacks.surrogates import DLR, CrossEntropy, Margin, Surrogate
from testudo.errors import TestudoError, unknown
from testudo.tasks.task import Task

VERSIONS = ("standard", "plus", "rand")
CLASSES = 9  # wrong classes that the targeted attacks go for; in L1, APGD-T for 5
SAMPLES = 20  # of a randomised model


@dataclass(frozen=True)
class Ensemble(Attack, ABC):
    """Attacks run one after the other in the same ball; per example the images with the highest merit count.

    With ``keep="first"`` an attack gets only the examples that those before it left undecided.
    """

    @abstractmethod
    def members(self, tasks: Mapping[str, Task]) -> dict[str, Attack]:
        """The attacks by name, in order, for the ``tasks`` under attack."""

    def search(self, problem: Problem) -> Tensor:
        """Run them all, judged by this ensemble's own objective; returns what the last of them found."""
        images, members = problem.clean, self.members(problem.oracle.tasks).values()
        for member in members:  # a later one's mistake is told before the first has worked for an hour
            replace(member, threat=problem.threat).prepare(problem.oracle.model, problem.batch)
        for member in members:
            hit = replace(member, threat=problem.threat)(problem.oracle.model, problem.batch)
            problem.oracle.asked += round(hit.forwards * len(hit.images))
            problem.oracle.sloped += round(hit.backwards * len(hit.images))
            problem.measure(hit.images, exact=True)
            (images,) = problem.drop(hit.images, share=0)
        return images


@dataclass(frozen=True)
class WorstCase(Ensemble):
    """Any attacks on any tasks: per example the images that raise ``objective`` most.

    These are the worst images for all tasks jointly. The worst score of each task by itself, which may come
    from another attack than its neighbour's, is told from result rows by
    :func:`testudo.evaluation.worst.worst_case`.

    Args:
        threat, objective, keep: see :class:`~testudo.attacks.base.Attack`; the ball is every member's.
        seed: is added to every member's own.
        attacks: by name, each with an objective of its own.

    >>> WorstCase(attacks={"ce": APGD(steps=20), "square": Square(queries=100)}).keep
    'best'
    """

    attacks: dict[str, Attack] = field(default_factory=dict)

    @property
    def iterations(self) -> int:
        """The steps of all members."""
        return sum(member.iterations for member in self.attacks.values())

    def check(self, tasks: Mapping[str, Task]) -> None:
        """Raise TestudoError where there are no attacks."""
        if not self.attacks:
            raise TestudoError("worst_case needs attacks by name: attacks.NAME tables, or attacks={name: attack}")

    def members(self, tasks: Mapping[str, Task]) -> dict[str, Attack]:
        """The given ones."""
        return {name: replace(member, seed=member.seed + self.seed) for name, member in self.attacks.items()}


@dataclass(frozen=True)
class AutoAttack(Ensemble):
    """The standard ensemble (Croce and Hein 2020), on one classification task; an image once fooled is done with.

    * ``"standard"``: APGD on the cross-entropy, APGD on the targeted DLR loss for 9 wrong classes, FAB for 9,
      Square. In L1 APGD makes 5 restarts and goes for 5 classes (Croce and Hein 2021).
    * ``"plus"``: the untargeted DLR loss and FAB too, with 5 restarts.
    * ``"rand"``: for randomised models: APGD on both losses, averaged over 20 samples of the model.

    A task of fewer than 10 classes is attacked for all its wrong classes; with two classes, where the DLR
    loss is constant, the margin takes its place. The result is what the published code finds, up to random
    draws; it comes sooner since decided examples are left alone inside every search.

    Args:
        threat, objective, seed: see :class:`~testudo.attacks.base.Attack`; of the objective the task counts.
        keep: ``"first"``: the first images that fool the model.
        version: which attacks.
        steps: of APGD and FAB.
        queries: of Square.

    >>> from testudo.tasks.classification import Classification
    >>> list(AutoAttack().members({"object": Classification("object", classes=10)}))
    ['apgd-ce', 'apgd-t', 'fab-t', 'square']
    """

    keep: Keep = "first"
    version: Literal["standard", "plus", "rand"] = "standard"
    steps: int = 100
    queries: int = 5000

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.version not in VERSIONS:
            raise unknown("version", self.version, VERSIONS)
        APGD(steps=self.steps)  # refuses what makes no sense
        Square(queries=self.queries)

    @property
    def iterations(self) -> int:
        """Steps of one search of APGD and FAB."""
        return self.steps

    def check(self, tasks: Mapping[str, Task]) -> None:
        """Raise TestudoError unless the one task under attack is a classification."""
        one_classification("autoattack", tasks)

    def members(self, tasks: Mapping[str, Task]) -> dict[str, Attack]:
        """The attacks by their published names."""
        task = one_classification("autoattack", tasks)
        sparse, plus = self.threat.p == 1, self.version == "plus"
        ratio: Surrogate = DLR() if task.rivals > 1 else Margin()
        ce, dlr, margin = (replace(self.objective, surrogate=each) for each in (CrossEntropy(), ratio, Margin()))
        climb = partial(APGD, threat=self.threat, keep="first", seed=self.seed, steps=self.steps)
        walk = partial(FAB, threat=self.threat, keep="first", seed=self.seed, steps=self.steps, objective=margin)
        if self.version == "rand":
            both = {"apgd-ce": ce, "apgd-dlr": dlr}
            return {name: climb(objective=each, samples=SAMPLES) for name, each in both.items()}
        square = Square(self.threat, margin, "first", self.seed, queries=self.queries, rescale=False)
        found: dict[str, Attack] = {
            "apgd-ce": climb(objective=ce, restarts=5 if sparse or plus else 1),
            "apgd-t": climb(objective=dlr, targets=min(5 if sparse else CLASSES, task.rivals)),
            "fab-t": walk(targets=min(CLASSES, task.rivals)),
            "square": square,
        }
        if not plus:
            return found
        found |= {"apgd-dlr": climb(objective=dlr, restarts=5), "fab": walk(restarts=5)}
        return {name: found[name] for name in ("apgd-ce", "apgd-dlr", "fab", "square", "apgd-t", "fab-t")}
