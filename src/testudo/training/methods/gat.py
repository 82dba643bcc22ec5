"""Guided adversarial training: extra tasks beside the main one, and their gradients kept alike."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, Self

import torch
from torch import Tensor

from testudo.attacks.base import Attack
from testudo.attacks.pgd import PGD
from testudo.balance.base import Balance
from testudo.balance.gramian import MGDA
from testudo.data.batch import Batch
from testudo.data.pretext import Sees
from testudo.errors import TestudoError, unknown
from testudo.models.model import Model
from testudo.tasks.task import Task
from testudo.tensors import per_example
from testudo.training.curvature import PREFIX, CurvatureTerms
from testudo.training.methods.base import Method, Stage, State, check_attack

COUNT = "method.batches"  # so far, kept where the curvature is not taken in each of them


@dataclass(frozen=True)
class GAT(Method):
    """Clean and adversarial losses of a main and some auxiliary tasks, and a regulariser over their gradients.

    Source: Ghamizi et al. 2023, *GAT: Guided Adversarial Training with Pareto-optimal Auxiliary Tasks*, algorithm 1.
    The model's first task is the main one; the auxiliary ones are the data's others and the ``pretexts``, whose heads
    are dropped when training ends. The terms are ``t.clean`` and ``t.adv`` for every task t, and ``curvature.j`` for
    every auxiliary task j: 3 M - 1 for M tasks. What weighs them is the ``balance``.

    Clean and adversarial images go through the network apart, each batch-normalised by its own statistics, as in
    :class:`~testudo.training.methods.madry.Madry` (the paper does not say; the released code does the same). So
    no term's backward pass runs over images that are none of its own.

    Where ``main_sees`` is ``"original"``, the images as they are and those changed for the pretexts are other images.
    The attack is then made on the former alone, unless ``adversarial_pretexts``; and for the curvature, which needs
    labels of two tasks for one image, a changed image has the labels of the image it was made from (no dense ones).

    This class is the package's default, the sum of the terms with the main adversarial one three times: of 25 ways of
    weighing them none was clearly more robust (``benchmarks/gat_balance.md``, which also says what MGDA does, and when
    the auxiliary tasks gain anything). :class:`GATPaper` and :class:`GATCode` are what was published.

    Args:
        weights, balance, pretexts, main_sees: see :class:`~testudo.training.methods.base.Method`.
        attack: makes the adversarial images; its objective's tasks are replaced.
        attacked: whose loss it raises: the ``"main"`` task's, that of ``"both"`` (every task), or the ``"auxiliary"``
            ones'.
        adversarial_weight: the factor of the main task's adversarial loss, beside that of its weight.
        adversarial_pretexts: self-supervised tasks have adversarial terms, too.
        joined: what is balanced is one term for each task, ``t.joint``, half its clean and half its adversarial loss
            (the clean one alone where it has no other).
        curvature: the regulariser.

    >>> GAT(attacked="both").attack.steps
    10
    """

    attack: Attack = PGD(step=2 / 255, keep="last")
    attacked: Literal["main", "both", "auxiliary"] = "main"
    adversarial_weight: float = 3.0
    adversarial_pretexts: bool = False
    joined: bool = False
    curvature: CurvatureTerms = CurvatureTerms()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.attacked not in ("main", "both", "auxiliary"):
            raise unknown("attacked", self.attacked, ("main", "both", "auxiliary"))
        if not 0 <= self.adversarial_weight < math.inf:
            raise TestudoError(f"adversarial_weight must be at least 0 and finite, got {self.adversarial_weight}")

    def passes(self, tasks: Sequence[Task]) -> int:
        """The attack's steps, the two forward and backward passes of the terms, and what the curvature costs."""
        return self.attack.iterations * self.attack.runs + self.updates(tasks)

    def updates(self, tasks: Sequence[Task]) -> int:
        """One for the clean images, one for the adversarial ones, and those of the curvature."""
        return 2 + self.curvature.passes(len(tasks))

    def alone(self, main: str) -> Self:
        """The main task attacked, clean and adversarial losses balanced as before."""
        return replace(super().alone(main), attacked="main")

    def unbalanced(self, name: str) -> bool:
        """The regulariser, unless it is to be balanced."""
        return not self.curvature.inside and self.past_features(name)

    def past_features(self, name: str) -> bool:
        """The regulariser."""
        return name.startswith(PREFIX) and name not in _OF_A_TASK

    def check(self, tasks: Mapping[str, Task]) -> None:
        """Every named task must be the model's, and what is attacked must have labels on the attacked images."""
        super().check(tasks)
        if {"clean", "adv", "joint"} & set(tasks):
            raise TestudoError("gat calls its terms clean, adv and joint, and can have no task of such a name")
        aims = self._aims(tuple(tasks))
        if not aims:
            raise TestudoError("attacked = 'auxiliary' needs an auxiliary task, and the model has the main one alone")
        check_attack(self._aimed(tuple(tasks)), tasks)
        self._check_images(aims)
        if self.balance is not None:
            names = [name for name in self._names(tuple(tasks)) if not self.unbalanced(name)]
            self.balance.start(torch.ones(len(names)), names)

    def _check_images(self, aims: Sequence[str]) -> None:
        """Refuse an attack that would find no labels where it is made, or leave images as they are."""
        if not self.pretexts or self.main_sees == "transformed":
            return
        if self.made.issuperset(aims) and not self.adversarial_pretexts:
            raise TestudoError(
                "attacked = 'auxiliary' with pretexts alone needs adversarial_pretexts = true or "
                "main_sees = 'transformed': the images of the main task have no labels to attack"
            )
        if self.adversarial_pretexts and self.made.isdisjoint(aims):
            raise TestudoError(
                "adversarial_pretexts needs main_sees = 'transformed' or attacked = 'both': "
                "nobody attacks the images that the pretexts changed"
            )

    def terms(self, model: Model, batch: Batch) -> dict[str, Tensor]:
        """The clean and adversarial losses, joined or not, and the curvature."""
        return self._terms_at(model, batch, self._hurt(model, batch), True)

    def stages(self, model: Model, batch: Batch, state: State) -> Iterator[Stage]:
        """One, at images made here; with the curvature in every so many batches."""
        done = int(state.get(COUNT, torch.tensor(0)))
        yield partial(self._terms_at, model, batch, self._hurt(model, batch), done % self.curvature.every == 0)
        if self.curvature.every > 1:
            state[COUNT] = torch.tensor(done + 1)

    def _aims(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """The tasks that the attack raises."""
        return {"main": names[:1], "both": names, "auxiliary": names[1:]}[self.attacked]

    def _aimed(self, names: tuple[str, ...]) -> Attack:
        return replace(self.attack, objective=replace(self.attack.objective, tasks=self._aims(names)))

    def _surviving(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """The tasks that have an adversarial term."""
        return tuple(name for name in names if self.adversarial_pretexts or name not in self.made)

    def _names(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """What the terms are called, of a model with the tasks ``names``."""
        losses = [f"{name}.clean" for name in names] + [f"{name}.adv" for name in self._surviving(names)]
        return (*([f"{name}.joint" for name in names] if self.joined else losses), *self.curvature.names(names))

    def _as_they_are(self, batch: Batch) -> int:
        """How many of the batch's images no pretext has changed."""
        if not self.pretexts or self.main_sees == "transformed":
            return len(batch)
        return len(batch) // (1 + math.prod(pretext.views for pretext in self.pretexts))

    def _hurt(self, model: Model, batch: Batch) -> Batch:
        """The images to attack, attacked."""
        clean = batch if self.adversarial_pretexts else batch[: self._as_they_are(batch)]
        return clean.with_images(self._aimed(tuple(model.tasks)).perturb(model, clean))

    def _terms_at(self, model: Model, batch: Batch, hurt: Batch, curved: bool) -> dict[str, Tensor]:
        names = tuple(model.tasks)
        adversarial = self.task_terms(model, hurt, "adv", self._surviving(names))
        main = f"{names[0]}.adv"
        adversarial[main] = self.adversarial_weight * adversarial[main]
        terms = self.task_terms(model, batch, "clean") | adversarial
        if self.joined:
            terms = {f"{name}.joint": _joint(terms, name) for name in names}
        if curved and self.curvature.names(names):
            weights = {name: self.weight(name) for name in names}
            terms |= self.curvature.terms(model, self._labelled(model, batch), weights)
        return terms

    def _labelled(self, model: Model, batch: Batch) -> Batch:
        """The batch, each changed image with the labels of the image it was made from."""
        count = self._as_they_are(batch)
        if count == len(batch):
            return batch
        targets, views = dict(batch.targets), len(batch) // count
        for name, task in model.tasks.items():
            if name in self.made or (task.dense and not task.is_image):
                continue
            labels = torch.cat([batch.targets[name][:count]] * views)
            known = per_example(task.valid(labels), batch.images)
            targets[name] = torch.where(known, batch.images, torch.nan) if task.is_image else labels
        return replace(batch, targets=targets)


_OF_A_TASK = tuple(f"{PREFIX}{suffix}" for suffix in ("clean", "adv", "joint"))  # where a task is called "curvature"


def _joint(terms: Mapping[str, Tensor], name: str) -> Tensor:
    """Half the clean and half the adversarial loss of a task, or the clean one alone."""
    clean = terms[f"{name}.clean"]
    return (clean + terms[f"{name}.adv"]) / 2 if f"{name}.adv" in terms else clean


@dataclass(frozen=True)
class GATPaper(GAT):
    """GAT as the paper's text has it.

    Every task sees the changed images and has a clean and an adversarial term; the attack, PGD-10 from a random start,
    is on the main task; the regulariser is the paper's, weight 1, on every example of every batch, inside the balance,
    and keeps the floor ``tiny`` (the paper has none, and 0 / 0); the balance is MGDA by Frank-Wolfe (250 steps, as
    Sener and Koltun's code) on gradients at the shared features as they are. The paper does not say how long a step
    of its attack is: 2/255.

    The recipe's part: ResNet-50v2, WRN-28-10 or WRN-70-16; batches augmented; SGD 0.1, momentum 0.9, weight decay
    5e-4, cosine, 400 epochs (X-rays 200, WRN-70-16 40); the best checkpoint; eps 4/255 for X-rays.

    >>> GATPaper().main_sees
    'transformed'
    """

    balance: Balance | None = MGDA("features", "frank_wolfe", "none", 250)
    adversarial_weight: float = 1.0
    main_sees: Sees = "transformed"
    adversarial_pretexts: bool = True
    curvature: CurvatureTerms = CurvatureTerms(1.0, "paper", share=1.0, inside=True)


@dataclass(frozen=True)
class GATCode(GAT):
    """GAT as its released code has it (github.com/yamizi/taskaugment).

    As :class:`GATPaper`, but: steps of 1/255; clean and adversarial losses joined half and half, the self-supervised
    tasks' clean alone; and MGDA, exact to 1e-5, on gradients of all shared parameters as they are.

    The recipe's part: binary cross-entropy (``options.class.loss_kind = "binary"``) for main and macro, in the attack
    as well; the cross-entropy of self-supervised tasks divided by their classes (``weights``: 1/4 for rotation);
    post-activation ResNet-50 (which the package has as ResNet-50 v2 alone); the best checkpoint by clean accuracy
    (``validation`` left out) on a fifth of the training set.

    Not as the code: it regularises the first two tasks alone, in training mode and with a part of the double backward
    blocked; it scores on changed images; and it leaves batch norm in training mode in its WRN tests.

    >>> GATCode().joined
    True
    """

    attack: Attack = PGD(step=1 / 255, keep="last")
    balance: Balance | None = MGDA(normalise="none")
    adversarial_weight: float = 1.0
    main_sees: Sees = "transformed"
    joined: bool = True
    curvature: CurvatureTerms = CurvatureTerms(1.0, "paper", share=1.0, inside=True)
