"""Friendly adversarial training."""

from __future__ import annotations

from dataclasses import dataclass

from testudo.attacks.base import Attack
from testudo.attacks.friendly import Friendly
from testudo.training.methods.madry import Madry


@dataclass(frozen=True)
class Fat(Madry):
    """Adversarial training on images that are only just wrong.

    Source: Zhang et al. 2020 (https://arxiv.org/abs/2002.11242): :class:`~testudo.training.methods.madry.Madry` with
    :class:`~testudo.attacks.friendly.Friendly` as its attack, of which ``passes`` counts the most that it may take.
    The authors raise tau from 0 to 1 and 2 in the course of the run; here it stays. Where a task under attack has no
    decision to be wrong about, this is Madry's training; name the classification tasks in the attack's objective then.

    Args:
        weights, balance, pretexts, main_sees: see :class:`~testudo.training.methods.base.Method`.
        attack: makes the adversarial images.
        clean: the share of the loss that is taken on the clean images.

    >>> Fat().attack.tau
    1
    """

    attack: Attack = Friendly(keep="last")
