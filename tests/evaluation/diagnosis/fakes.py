"""Models that fake robustness, each in one known way, around a small network trained on the digits as usual.

All take (N, 1, 8, 8) and give ten logits. None is any more robust than a network trained as usual.
"""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.ndimage import median_filter
from torch import nn

from testudo.attacks.pgd import PGD
from testudo.attacks.threat import Linf
from testudo.data.digits import Digits
from testudo.data.loader import Loader
from testudo.models.encoder import seeded
from testudo.models.wrap import wrap
from testudo.tasks.classification import Classification

DIGIT = Classification("digit", classes=10)
digits = cache(Digits().load)


def network(norm=nn.Identity, act=nn.ReLU, width=16):
    """Two convolutions and two linear layers."""
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1), norm(width), act(),
        nn.Conv2d(width, width, 3, padding=1, stride=2), norm(width), act(),
        nn.Flatten(), nn.Linear(16 * width, 32), act(), nn.Linear(32, 10),
    )  # fmt: skip


def trained(make, epochs=15, loss=F.cross_entropy, attack=None, seed=0):
    """``make()`` trained on the digits, on the images of ``attack`` where one is given; in eval mode."""
    with seeded(seed):
        module = make()
        model, optimiser = wrap(module, [DIGIT]), torch.optim.Adam(module.parameters(), 2e-3)
        for epoch in range(epochs):
            for batch in Loader(digits("train"), 64, seed=seed, shuffle=True)(epoch):
                module.train()
                images = batch.images if attack is None else attack.perturb(model, batch)
                optimiser.zero_grad()
                loss(module(images), batch.targets["digit"]).backward()
                optimiser.step()
    return module.eval()


class Around(nn.Module):
    """Something before and after a network."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def before(self, x):
        return x

    def after(self, z):
        return z

    def forward(self, x):
        return self.after(self.inner(self.before(x)))


class ScaledLogits(Around):
    """Logits so far apart that the softmax is exact in float32: cross-entropy and its gradient are 0."""

    def after(self, z):
        return 1e3 * z


class FlatLogits(Around):
    """Logits so close that the loss is the same number everywhere, to the last bit."""

    def after(self, z):
        return 1e-9 * z


class Quantised(Around):
    """Five grey levels: the slope of rounding is 0."""

    def before(self, x):
        return (4 * x).round() / 4


class JPEG(Around):
    """Saved as JPEG and read again by Pillow; an image is one of JPEG's blocks, so all go into one file."""

    def before(self, x):
        column = x.detach().clamp(0, 1).mul(255).round().byte().numpy().reshape(-1, x.shape[-1])
        buffer = io.BytesIO()
        Image.fromarray(column).save(buffer, "JPEG", quality=60)
        return torch.from_numpy(np.asarray(Image.open(buffer)).copy()).reshape(x.shape).to(x) / 255


class Median(Around):
    """A median filter of scipy's, which torch cannot look through."""

    def before(self, x):
        return torch.from_numpy(median_filter(x.detach().numpy(), size=(1, 1, 3, 3))).to(x)


class Noisy(Around):
    """Noise on the image, fresh in each pass."""

    def before(self, x):
        return x + 0.25 * torch.randn_like(x)


class Resized(Around):
    """Enlarged or reduced at random, and put at a random place (Xie et al. 2018)."""

    def before(self, x):
        size = int(torch.randint(6, 11, ()))
        x = F.interpolate(x, size=(size, size), mode="bilinear", align_corners=False)
        room = 12 - size
        left, top = (int(torch.randint(0, room + 1, ())) for _ in range(2))
        x = F.pad(x, (left, room - left, top, room - top))
        return F.interpolate(x, size=(8, 8), mode="bilinear", align_corners=False)


class Rippled(Around):
    """A ripple of a hundredth on every pixel, whose slope hides that of all else.

    At the scans' own grey levels, whole 16ths, it rises: one step from there is well led, all others are not.
    """

    def before(self, x):
        return x + 0.01 * torch.sin(2 * torch.pi * 64 * x)


class Reversed(Around):
    """The gradient with the wrong sign: the image as it is, with minus its slope."""

    def before(self, x):
        return x.detach() - (x - x.detach())


class Saturated(nn.Module):
    """tanh with such a gain that its slope is 0 in float32 almost everywhere; trained with another slope."""

    def forward(self, x):
        sharp = torch.tanh(200 * x)
        ramp = x.clamp(-1, 1)
        return ramp + (sharp - ramp).detach() if self.training else sharp


def batch_norm(width):
    """A norm that has no statistics but those of the batch."""
    return nn.BatchNorm2d(width, track_running_stats=False)


class Prototypes(nn.Module):
    """The cosines of contrastive features to the classes' means, over a low temperature."""

    def __init__(self, features, temperature=0.005):
        super().__init__()
        self.features = features
        self.temperature = temperature
        batch = digits("train").batch(range(1000))
        with torch.no_grad():
            found = F.normalize(features(batch.images), dim=1)
        means = [found[batch.targets["digit"] == digit].mean(0) for digit in range(10)]
        self.register_buffer("means", F.normalize(torch.stack(means), dim=1))

    def forward(self, x):
        return F.normalize(self.features(x), dim=1) @ self.means.T / self.temperature


def supervised_contrast(features, labels, temperature=0.1):
    """Khosla et al. 2020: every other example of the class is a positive."""
    unit = F.normalize(features, dim=1)
    itself = torch.eye(len(unit), dtype=torch.bool)
    near = (unit @ unit.T / temperature).masked_fill(itself, -1e9)
    same = (labels[:, None] == labels) & ~itself
    surprise = near.logsumexp(1, keepdim=True) - near
    return (torch.where(same, surprise, 0).sum(1) / same.sum(1).clamp(min=1)).mean()


def contrastive():
    """Features of supervised contrast, no adversarial image ever seen."""
    return Prototypes(trained(lambda: network()[:-2], 12, supervised_contrast))


def squeezed():
    """Label smoothing so strong that the loss is nearly flat around the images."""
    return trained(network, 40, lambda z, y: F.cross_entropy(z, y, label_smoothing=0.7))


def linear():
    """One layer: honestly weak."""
    return trained(lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))


def hardened():
    """Madry's training: honestly robust."""
    return trained(network, 12, attack=PGD(Linf(0.15), steps=4, keep="last"))
