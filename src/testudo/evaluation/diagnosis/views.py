"""What the picture of a diagnosis shows of one task, as plain numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from testudo.data.splits import evenly
from testudo.evaluation.diagnosis.evidence import AVERAGED, CLEAN, TRANSFER, Evidence
from testudo.evaluation.diagnosis.intervals import share
from testudo.evaluation.diagnosis.surface import Hill
from testudo.evaluation.diagnosis.unbounded import balls_of

Face = tuple[tuple[float, ...], ...]
SIDE, LINES, POINTS = 25, 8, 65  # surfaces, and points along each of their sides


@dataclass(frozen=True)
class Views:
    """Plain numbers.

    Args:
        task: its name.
        metric: what is told of attacks and radii: the task's.
        eps: of the threat.
        attacks: name, metric, and for a classification its exact interval (else NaN), of each attack in the ball.
        radii: eps and metric in growing balls, the clean images at 0.
        surface: the margin or loss of one example at SIDE x SIDE points, rows across and columns along the gradient,
            each from -eps to eps; empty where there is no example to attack.
        example: its id.
        lines: of several examples, the margin or loss from the image along the gradient to eps, at POINTS points.
    """

    task: str
    metric: str
    eps: float
    attacks: tuple[tuple[str, float, float, float], ...]
    radii: tuple[tuple[float, float], ...]
    surface: Face
    example: int
    lines: Face


def views(evidence: Evidence) -> Views:
    """Of attacks that are made already, and of the surface around a few examples."""
    balls = balls_of(evidence)
    inside = [name for name in (CLEAN, *evidence.attacks, TRANSFER, AVERAGED) if name in evidence.made]
    inside = [name for name in inside if name not in balls[1:]]
    radii = [(0.0, evidence.metric(CLEAN))]
    radii += [(float(evidence.attacks[name].threat.eps), evidence.metric(name)) for name in balls]
    chosen = evidence.standing[evenly(LINES, len(evidence.standing))]
    shown = Hill.at(evidence, evidence.batch[chosen]) if len(chosen) else None
    return Views(
        evidence.task.name,
        evidence.task.metric_name,
        float(evidence.threat.eps),
        tuple((name, *_metric(evidence, name)) for name in inside),
        tuple(radii),
        _surface(evidence, chosen[:1]) if len(chosen) else (),
        int(evidence.batch.ids[chosen[0]]) if len(chosen) else -1,
        tuple(map(tuple, shown.line(evidence, shown.up, POINTS).tolist())) if shown else (),
    )


def _metric(evidence: Evidence, name: str) -> tuple[float, float, float]:
    if not evidence.decided:
        return evidence.metric(name), math.nan, math.nan
    found = share(int((evidence.harm(name) == 0).sum()), evidence.n)
    return found.value, found.low, found.high


def _surface(evidence: Evidence, chosen: Tensor) -> Face:
    hill, shares = Hill.at(evidence, evidence.batch[chosen]), np.linspace(-1, 1, SIDE)
    return tuple(
        tuple(float(hill.value_at(evidence, a * hill.up + b * hill.across)[0]) for a in shares) for b in shares
    )
