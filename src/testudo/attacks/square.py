"""The Square attack."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass

import torch
from torch import Tensor

from testudo.attacks.base import Attack
from testudo.attacks.problem import Problem
from testudo.attacks.square_shapes import PLACES, cornered, reshaped, striped, tiled, window_size
from testudo.errors import TestudoError
from testudo.tensors import per_example, uniform

HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)  # of the windows' area, after so many of 10,000 queries
AHEAD = 64  # queries whose numbers are drawn at once
WINDOWS = 2  # those draws' purpose, after those of square_shapes


@dataclass(frozen=True)
class Square(Attack):
    """Random search: ever smaller windows are changed, and left so where that raises the objective; no gradients.

    Linf and L2 after Andriushchenko et al. 2020 (algorithms 1-3), L1 after Croce and Hein 2021. As it asks for the
    objective alone, it works on any task, and on models whose gradients mislead.

    Departures: each example has windows of its own (the authors' torch code has one place for all), which reach
    every row and column; they are cut to the image where it is not square; a window in Linf that would change
    nothing has its signs turned; in L2 and L1 the first images' tiles cover the whole image, and in L1 the hills
    are 5 times what the ball allows before projection, whatever the number of channels (C times, for C channels), and
    fall as they do in L2 (theirs are steeper in L1, by 1 / k^4, and weigh their halves by the 1-norm).

    Args:
        threat, objective, keep, seed, samples: see :class:`~testudo.attacks.base.Attack`; ``keep="first"`` saves
            the queries of examples that are decided.
        queries: forward passes of one search.
        p_init: the share of an image's pixels that the first windows cover.
        rescale: run through the windows' sizes, which are the paper's for 10,000 queries, in ``queries``;
            otherwise only the larger ones of them are reached, as in AutoAttack.
        restarts: independent searches, of which the worst counts.

    >>> Square(queries=100).p_init
    0.8
    """

    queries: int = 5000
    p_init: float = 0.8
    rescale: bool = True
    restarts: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.queries < 1 or self.restarts < 1:
            raise TestudoError(f"queries and restarts must be at least 1, got {self.queries} and {self.restarts}")
        if not 0 < self.p_init <= 1:
            raise TestudoError(f"p_init must be above 0 and at most 1, got {self.p_init}")

    @property
    def runs(self) -> int:
        """The restarts."""
        return self.restarts

    @property
    def iterations(self) -> int:
        """The queries."""
        return self.queries

    def share(self, query: int) -> float:
        """Of an image's pixels, those that the window of this query (from 1) covers.

        >>> [Square(queries=1000).share(query) for query in (1, 3, 1000)]
        [0.8, 0.4, 0.0015625]
        """
        done = (query - 1) * 10000 // self.queries if self.rescale else query - 1
        return self.p_init / 2 ** bisect_left(HALVINGS, done)

    def search(self, problem: Problem) -> Tensor:
        """Go on with a proposal wherever it is worse for the model than all before."""
        start, propose = (striped, cornered) if problem.threat.p == math.inf else (tiled, reshaped)
        images = start(problem)
        images, merit = problem.drop(images, problem.measure(images))
        for query in range(1, self.queries):
            ahead = (query - 1) % AHEAD
            if ahead == 0:
                shape = (AHEAD, PLACES + images.shape[1])
                draws = uniform(problem.ids, shape, self.seed, problem.run, WINDOWS, query)
            size = window_size(images, self.share(query), problem.threat.p)
            proposal = propose(problem, images, draws[:, ahead], size)
            found = problem.measure(proposal)
            better = found > merit
            images = torch.where(per_example(better, images), proposal, images)
            images, merit, draws = problem.drop(images, torch.where(better, found, merit), draws)
        return images
