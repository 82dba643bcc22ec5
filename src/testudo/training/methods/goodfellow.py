"""Adversarial training with one step."""

from __future__ import annotations

from dataclasses import dataclass

from testudo.attacks.base import Attack
from testudo.attacks.fgsm import FGSM
from testudo.training.methods.madry import Madry


@dataclass(frozen=True)
class Goodfellow(Madry):
    """Half the loss on the clean images, half on those of the fast gradient sign method.

    Source: Goodfellow et al. 2015, section 6, with alpha = 0.5 (https://arxiv.org/abs/1412.6572):
    :class:`~testudo.training.methods.madry.Madry` with other defaults. Such a model may learn to bend its gradients
    rather than to resist (see :class:`~testudo.training.methods.fast.Fast`).

    Args:
        weights, balance, pretexts, main_sees: see :class:`~testudo.training.methods.base.Method`.
        attack: makes the adversarial images.
        clean: the share of the loss that is taken on the clean images, the paper's alpha.

    >>> Goodfellow().clean, Goodfellow().passes(())
    (0.5, 3)
    """

    attack: Attack = FGSM(keep="last")
    clean: float = 0.5
