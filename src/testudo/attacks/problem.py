"""What a search may ask: losses and gradients of images it proposes; the books are kept here."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from testudo.attacks.baseline import Baseline
from testudo.attacks.found import Found, Given, pick
from testudo.attacks.objective import Objective
from testudo.attacks.oracle import Answer, Oracle
from testudo.attacks.threat import Threat
from testudo.balance.base import State
from testudo.data.batch import Batch
from testudo.models.fast import Fast
from testudo.tensors import working_precision

Keep = Literal["best", "last", "first"]
BLOCK = 1 / 8  # the share of examples that must be decided before they are taken out, which costs a copy


class Step(NamedTuple):
    """What a forward and a backward pass tell: the way up (M, C, H, W), the objective (M,), who is beaten (M,)."""

    gradient: Tensor
    merit: Tensor
    beaten: Tensor


class Settled(Exception):
    """Every example is decided: the search is over."""


class Problem:
    """One batch under one attack: gives gradients, counts passes, remembers the worst images per example.

    A search works on the M of the batch's N examples that are not decided yet: on all of them unless
    ``keep="first"``.

    Args:
        model: the frozen copy under attack.
        batch: clean images, labels and ids.
        threat: ball and box.
        objective: what is raised.
        seed: of the random starts.
        keep: ``"best"`` remembers every image that was measured, ``"last"`` only those that end a search,
            ``"first"`` the first that beat every task, after which the example is left alone.
        samples: how often a randomised model is asked.

    Attributes:
        oracle: who asks the model.
        baseline: what is known of the clean images.
        run: which of the attack's searches this is, from 0.
        aims: the wrong answers that the search goes for, by task; none: it goes for any.
        exact_search: the search itself runs in full precision.
    """

    def __init__(
        self,
        model: Fast,
        batch: Batch,
        threat: Threat,
        objective: Objective,
        seed: int = 0,
        keep: Keep = "best",
        samples: int = 1,
    ) -> None:
        tasks = objective.attacked(model.tasks, batch.targets)
        for name, task in tasks.items():
            task.check(batch.targets[name])
        self.oracle = Oracle(model, objective, tasks, samples)
        self.seed, self.keep, self.run = seed, keep, 0
        self.exact_search = model.precision != "bf16"
        labelled = torch.stack([task.valid(batch.targets[name]) for name, task in tasks.items()], 1)
        # In float32 where they came in half precision: a ball around them could not be kept to in half precision.
        clean = working_precision(batch.images.detach()).contiguous()
        threat.radii(clean), threat.masked(clean, 0)  # refuse what does not fit before rows are taken
        self._given = Given(clean, batch.ids, dict(batch.targets), labelled, threat)
        self.baseline = Baseline(self.oracle, self._given)
        self._all = self._found = Found.nothing(clean, len(tasks))
        self._rows = torch.arange(len(clean), device=clean.device)
        self._begun: State | None = None  # the balance before any step
        self._state: State | None = None  # that of this search, which moves
        self.aims: dict[str, Tensor] | None = None

    @property
    def clean(self) -> Tensor:
        """(M, C, H, W) the clean images, in float32 or wider."""
        return self._given.clean

    @property
    def ids(self) -> Tensor:
        """(M,) the examples' ids."""
        return self._given.ids

    @property
    def targets(self) -> dict[str, Tensor]:
        """Labels by task, those not under attack too, which an ensemble's members may want."""
        return self._given.targets

    @property
    def threat(self) -> Threat:
        """Ball and box of these examples."""
        return self._given.threat

    @property
    def batch(self) -> Batch:
        """The examples still searched."""
        return Batch(self.clean, self.targets, self.ids)

    @property
    def passes(self) -> tuple[float, float]:
        """Forward and backward passes of the whole batch made so far: images that were passed, over N."""
        count = max(1, len(self._all.merit))
        return self.oracle.asked / count, self.oracle.sloped / count

    def begin(self, run: int) -> bool:
        """Start a search anew: the balance forgets, what was found is kept. False where nothing is left to search."""
        self.baseline.refer()
        self.restore()
        self.run, self._state, self.aims = run, None, None
        if self.keep == "first" and run == 0 and len(self.clean):
            answer, found = self.baseline.answer(), self._found
            self._found = replace(found, losses=answer.told, merit=self.merit(answer.told), decided=answer.beaten)
        if self.keep == "first" and self._found.decided.any():
            self._shrink((~self._found.decided).nonzero()[:, 0])
        return len(self.clean) > 0

    def start(self, *, random: bool) -> Tensor:
        """Where a search begins: the clean images, or a random point of the ball for this run."""
        if not random:
            return self.clean
        return self.threat.random_start(self.clean, self.ids, self.seed, self.run)

    def project(self, images: Tensor) -> Tensor:
        """The nearest images inside ball and box."""
        return self.threat.project(images, self.clean)

    def aim(self, rank: int) -> None:
        """From now on go for the wrong answer that the model ranks ``rank``-th on each clean image; 0: for any.

        Raises:
            TestudoError: a task under attack has not that many wrong classes, or none.
        """
        self.aims, self._state = self.baseline.aims(rank, self._rows) if rank else (None, None)

    def gradient(self, images: Tensor) -> Tensor:
        """(M, C, H, W) the direction in which the balanced objective grows, by one forward and one backward."""
        return self.ascend(images).gradient

    def ascend(self, images: Tensor, inside: bool = True) -> Step:
        """The same, and the objective's value at ``images``, comparable between the steps of a search.

        A balance of gradients takes a backward pass for each task. Images that are not ``inside`` the ball are
        not remembered.
        """
        leaf = images.detach().requires_grad_()
        with torch.enable_grad():
            answer = self.oracle.ask(leaf, self.targets, self.aims)
            gradient = self.oracle.climb(leaf, answer, lambda losses, gramian: self._weigh(images, losses, gramian))
        answer = answer._replace(raised=answer.raised.detach())
        merit = self._remember(images, answer) if inside else self._own_merit(answer)
        return Step(gradient, merit, answer.beaten)

    def measure(self, images: Tensor, exact: bool = False) -> Tensor:
        """(M,) the objective's value, by one forward alone, in full precision (and not by the aims) if ``exact``."""
        with torch.no_grad():
            ask = self.oracle.exact if exact else partial(self.oracle.ask, aims=self.aims)
            answer = ask(images, self.targets)
        self._first_weights(images, answer.raised)
        return self._remember(images, answer)

    def finish(self, images: Tensor) -> None:
        """Measure the images that end a search (one forward), so that the last step counts too."""
        with torch.no_grad():
            answer = self.oracle.ask(images, self.targets, self.aims)
        self._first_weights(images, answer.raised)
        self._remember(images, answer, final=True)

    def drop(self, *tensors: Tensor, share: float = BLOCK) -> list[Tensor]:
        """Take decided examples out once they make up ``share``; hand in all that is carried from step to step.

        Returns:
            ``tensors`` without the rows of those examples.

        Raises:
            Settled: none is left; it ends the search.
        """
        decided = int(self._found.decided.sum()) if self.keep == "first" else 0
        if decided == 0 or decided < share * len(self.clean):
            return list(tensors)
        if decided == len(self.clean):
            raise Settled
        left = (~self._found.decided).nonzero()[:, 0]
        self._shrink(left)
        return [tensor[left] for tensor in tensors]

    def boundary(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`Oracle.boundary`: (M, T) and (M, T, C, H, W), for the aim or for every wrong class."""
        return self.oracle.boundary(images, self.targets, self.aims)

    def fooled(self, images: Tensor) -> Tensor:
        """(M,) whether every task under attack is beaten, wherever ``images`` lie; one forward, nothing remembered."""
        with torch.no_grad():
            return self.oracle.ask(images, self.targets).beaten

    def decide(self, images: Tensor, rows: Tensor) -> None:
        """Look at ``images`` of the examples that ``rows`` (M,) names, and at no other.

        For searches that find out by other means than the objective what beats a task; it counts only where
        the first such images do.
        """
        index = (rows & ~self._found.decided).nonzero()[:, 0]
        if self.keep != "first" or len(index) == 0:
            return
        given, found = self._given.take(index), self._found.take(index)
        images = given.threat.project(images[index], given.clean)
        answer = self.oracle.exact(images, given.targets)
        merit = self.oracle.objective.merit(pick(self._begin(None), index), answer.told)
        beaten = answer.beaten & (merit > -torch.inf)
        self._found = self._found.put(index, found.better(beaten, images, answer.told, merit, beaten))

    def restore(self) -> Found:
        """Put every example back; returns what was found for all N."""
        self._all = self._all.put(self._rows, self._found)
        self._found, self._given = self._all, self.baseline.given
        self._rows = torch.arange(len(self._all.merit), device=self.clean.device)
        self._begun = self.baseline.state() if self.baseline.begun else None
        return self._all

    def merit(self, losses: Tensor) -> Tensor:
        """(M,) the balance's one number for losses (M, K), comparable between searches; NaN counts as nothing."""
        return self.oracle.objective.merit(self._begin(None), losses)

    def _weigh(self, images: Tensor, losses: Tensor, gramian: Tensor | None = None) -> Tensor:
        """The balance's weights (M, K) for this step; its first call begins the search's own state."""
        first = images is self.baseline.given.clean and self.aims is None
        begun = self._begin(losses if first else None)
        self._state = begun if self._state is None else self._state
        weights, self._state = self.oracle.objective.balance.weigh(self._state, losses, gramian)
        latest = weights.to(self._found.weights)
        if self.keep == "first":  # a decided example may still be here, for want of decided neighbours
            latest = torch.where(self._found.decided[:, None], self._found.weights, latest)
        self._found = replace(self._found, weights=latest)
        return weights

    def _first_weights(self, images: Tensor, losses: Tensor) -> None:
        """Weigh once where a search takes no gradients, if only for the record."""
        if self._state is None and self.oracle.objective.balance.needs != "gramian":
            self._weigh(images, losses)

    def _begin(self, clean_losses: Tensor | None) -> State:
        """The balance before any step, of the M examples."""
        if self._begun is None:
            self._begun = pick(self.baseline.state(clean_losses), self._rows)
        return self._begun

    def _remember(self, images: Tensor, answer: Answer, final: bool = False) -> Tensor:
        """Write into the books what is better than what is there; returns the search's own merit (M,)."""
        if images is self.baseline.given.clean and self.exact_search:
            self.baseline.known(answer._replace(raised=answer.told))
        own = self._own_merit(answer)
        if self.keep == "last" and not final:
            return own
        merit = own if self.aims is None else self.merit(answer.told)
        # What is NaN beats nobody.
        found, beaten, better = self._found, answer.beaten & (merit > -torch.inf), merit > self._found.merit
        if self.keep == "first":
            beaten = self._confirmed(images, beaten & ~found.decided)
            better = beaten | (better & ~found.decided)
        self._found = found.better(better, images.detach(), answer.told, merit, beaten)
        return own

    def _own_merit(self, answer: Answer) -> Tensor:
        if self.aims is None:
            return self.merit(answer.told)
        return self.oracle.objective.merit(self._state or self._begin(None), answer.raised)

    def _confirmed(self, images: Tensor, beaten: Tensor) -> Tensor:
        """Those of ``beaten`` (M,) that are so in full precision too."""
        if self.exact_search or not bool(beaten.any()):
            return beaten
        index = beaten.nonzero()[:, 0]
        answer = self.oracle.exact(images[index].detach(), pick(self.targets, index))
        return beaten.index_copy(0, index, answer.beaten)

    def _shrink(self, left: Tensor) -> None:
        """Go on with the examples at ``left`` alone."""
        self._all = self._all.put(self._rows, self._found)
        self._rows, self._given, self._found = self._rows[left], self._given.take(left), self._found.take(left)
        self._begun = None if self._begun is None else pick(self._begun, left)
        self._state = None if self._state is None else pick(self._state, left)
        self.aims = None if self.aims is None else pick(self.aims, left)
