"""Labels that are made when a batch is read, or ahead of time where pixels are in memory anyway."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from testudo.data.cache import cached
from testudo.data.images import Files, Stored
from testudo.data.pixel_labels import KEPT, PixelLabel

if TYPE_CHECKING:
    from testudo.data.dataset import Examples

CHUNK = 2**22  # numbers in the images that are gone through at a time: a few hundred MB at work
MOST = 2**28  # bytes of labels of images that are not decoded in memory


@dataclass(frozen=True, eq=False)
class Made:
    """The labels of one derived task for all examples of a split.

    Args:
        how: makes them.
        kept: what was found in each example ahead of time, or None.
    """

    how: PixelLabel
    kept: Tensor | None = None

    def read(self, indices: Tensor, images: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """The labels of the examples at ``indices``, whose images and other labels are these."""
        if self.kept is None:
            return self.how.targets(targets[self.how.origin] if self.how.origin else images)
        return self.how.finish(self.kept[indices], (images.shape[2], images.shape[3]))

    def take(self, indices: Tensor) -> Made:
        """Only those of the examples at ``indices``."""
        return self if self.kept is None else replace(self, kept=self.kept[indices])


def made(how: PixelLabel, examples: Examples, fingerprint: Callable[[], str]) -> Made:
    """The labels that ``how`` makes of ``examples``, whose ``fingerprint`` is asked for where it is needed.

    Where the images are in memory they are made now, once on this machine (:func:`testudo.data.cache.cached`); where
    they are decoded from files, with each batch. Both give the same, to the last bit. Images that are in memory as
    encoded bytes count as such if what is found in all of them takes 256 MiB at most.

    Raises:
        TestudoError: the images cannot be used.
    """
    how.fits(examples.channels)
    if not how.worth_keeping or not _at_hand(how, examples):
        return Made(how)
    kind = f"{type(how).__module__}.{type(how).__qualname__}"
    key = ("derived", kind, how.version, *astuple(how), fingerprint())
    return Made(how, cached(key, lambda: {"found": _found(how, examples)})["found"])


def _at_hand(how: PixelLabel, examples: Examples) -> bool:
    images = examples.images
    if not isinstance(images, Files):
        return isinstance(images, Stored)
    if not len(images) or not all(isinstance(item, bytes) for item in images.items):
        return False
    return _found(how, examples.take([0])).nbytes * len(images) <= MOST


def _found(how: PixelLabel, examples: Examples) -> Tensor:
    """What is found in every example, a few at a time."""
    channels, height, width = examples.images.shape
    parts = torch.arange(len(examples)).split(max(1, CHUNK // (channels * height * width)))
    batches = (examples.batch(part) for part in parts)
    sources = (batch.targets[how.origin] if how.origin else batch.images for batch in batches)
    return torch.cat([how.find(source).to(KEPT) for source in sources])
