"""Adversarial training beside a rotation head."""

from __future__ import annotations

from dataclasses import dataclass

from testudo.attacks.base import Attack
from testudo.attacks.pgd import PGD
from testudo.data.pretext import Pretext
from testudo.data.rotation import Rotation
from testudo.training.methods.madry import Madry


@dataclass(frozen=True)
class Hendrycks(Madry):
    """Madry's training, with all four turns of every image attacked and classified by a further head.

    Source: Hendrycks et al. 2019, *Using Self-Supervised Learning Can Improve Model Robustness and Uncertainty*,
    https://arxiv.org/abs/1906.12340: CE(main) + 0.5 times the mean over the four turns of CE(angle), both at attacked
    images. As in its released code (https://github.com/hendrycks/ss-ood, ``adversarial/train.py`` and ``attacks.py``),
    the image and each of its turned copies is attacked for itself, by PGD with 10 steps of 2/255 and a random start, on
    the loss that it is then learnt with: the image on the main task's, a copy on the angle's. (There the copies' losses
    count an eighth in the attack. As each of these images has one loss, no factor changes the sign of its gradient.)
    Departures: attacks run on a model in eval mode, there in training mode; every task of the data is attacked and
    learnt, not one. A batch costs five times the images of Madry's.

    Args:
        weights, balance, pretexts, main_sees: see :class:`~testudo.training.methods.base.Method`.
        attack, clean: see :class:`~testudo.training.methods.madry.Madry`.
        auxiliary_weight: lambda of the pretexts' tasks where ``weights`` has none.

    >>> Hendrycks().weight("digit"), Hendrycks().weight("rotation"), Hendrycks({"rotation": 2.0}).weight("rotation")
    (1.0, 0.5, 2.0)
    """

    attack: Attack = PGD(steps=10, step=2 / 255, keep="last")
    pretexts: tuple[Pretext, ...] = (Rotation(every=True),)
    auxiliary_weight: float = 0.5

    def weight(self, name: str) -> float:
        """Lambda of one task."""
        return self.weights.get(name, self.auxiliary_weight if name in self.made else 1.0)
