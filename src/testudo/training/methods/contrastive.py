"""Training on clean images beside a contrastive head."""

from __future__ import annotations

from dataclasses import dataclass

from testudo.data.contrastive import ContrastiveViews
from testudo.data.pretext import Pretext, Sees
from testudo.training.methods.standard import Standard


@dataclass(frozen=True)
class Contrastive(Standard):
    """Two views of every image: cross-entropy on both with the image's label, and NT-Xent between them.

    Source: *Multitask Learning With Self-Supervision to Improve Robustness* (Wang and Wang, 2021), equation 5: lambda_c
    (l(i, j) + l(j, i)) + lambda_s (L(x_i, y) + L(x_j, y)), here with means over the views in place of sums, half of
    that. ``weights`` holds both lambdas: that of the contrastive task, by its name, and those of the data's tasks.

    The paper prints neither lambda nor tau, and no strength of an augmentation. Ours: both lambdas 1, tau 0.5, the
    augmentations of SimCLR for CIFAR-10. What it does print (ResNet-18, batches of 256, Adam at 3e-4, weight decay
    1e-4, 128 numbers, cosine annealing after 10 epochs) are the defaults of https://github.com/sthalles/SimCLR, whose
    tau is 0.07 and whose colour strength is 1, with blur: ``ContrastiveViews(temperature=0.07, colour=1, blur=1)``.

    Args:
        weights, balance: see :class:`~testudo.training.methods.base.Method`.
        pretexts: the views; see :class:`~testudo.data.contrastive.ContrastiveViews`.
        main_sees: ``"original"``: the data's tasks see the images as they are, once.

    >>> [pretext.views for pretext in Contrastive().pretexts], Contrastive().main_sees
    ([2], 'transformed')
    """

    pretexts: tuple[Pretext, ...] = (ContrastiveViews(),)
    main_sees: Sees = "transformed"
