"""Two random views of each image, to be known for views of the same one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from testudo.data.pretext import Pretext
from testudo.errors import TestudoError
from testudo.tasks.contrast import Contrast
from testudo.tensors import per_example, uniform

STREAM = 0x5C1  # keeps these draws apart from others of the same example
TRIES = 10  # boxes drawn before the largest that fits is taken
JITTERED = 0.8  # the share of views whose colours change
SIGMA = (0.1, 2.0)  # pixels, of a blur


@dataclass(frozen=True)
class ContrastiveViews(Pretext):
    """SimCLR's two views of an image: a random box brought to the image's size, mirrored, recoloured, blurred.

    Source: Chen et al. 2020, https://arxiv.org/abs/2002.05709, appendix A; the default strengths are theirs for
    CIFAR-10 (section B.9: colour 0.5, no blur). Through kornia, with all numbers drawn from an image's id: what becomes
    of an image is the same among any neighbours, to 1e-6 (sums may be taken in another order in another batch).
    Departures: boxes need not begin at whole pixels, and pixels at their edges are interpolated with those beyond;
    colours change in a fixed order (brightness, contrast, saturation, hue; there it is random). Images of other than
    three channels, X-rays for one, have no saturation, no hue and nothing to lose to grey.

    Labels are the images' places; see :class:`testudo.tasks.contrast.Contrast`.

    Args:
        name: of the task.
        temperature: tau of its loss.
        scale: a box has a share of the image's area drawn evenly from this range.
        ratio: its width over its height is drawn from this range, evenly in the logarithm.
        flip: mirror left and right, half of the time; not for what a mirror makes another thing, as it does of digits.
        colour: 0 to 1: brightness, contrast and saturation change by up to 0.8 times this, hue by up to 0.2 times this
            part of a full turn, in 0.8 of the views.
        grey: the share of views that lose their colours.
        blur: the share of views that are blurred, by a Gaussian of 0.1 to 2 pixels, cut off at 1/20 of the height.

    Raises:
        TestudoError: ranges that are not 0 < low <= high, a box larger than the image, shares outside [0, 1].
    """

    name: str = "contrastive"
    temperature: float = 0.5
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: bool = True
    colour: float = 0.5
    grey: float = 0.2
    blur: float = 0.0

    def __post_init__(self) -> None:
        for field, (low, high) in (("scale", self.scale), ("ratio", self.ratio)):
            if not 0 < low <= high < float("inf"):
                raise TestudoError(f"pretext {self.name!r}: {field} must be 0 < low <= high, got {low} and {high}")
        if self.scale[1] > 1:
            raise TestudoError(f"pretext {self.name!r}: scale must be shares of the image, got {self.scale[1]}")
        if not all(0 <= share <= 1 for share in (self.colour, self.grey, self.blur)):
            found = f"{self.colour}, {self.grey} and {self.blur}"
            raise TestudoError(f"pretext {self.name!r}: colour, grey and blur must be in [0, 1], got {found}")

    @property
    def task(self) -> Contrast:
        """Whose view it is."""
        return Contrast(self.name, temperature=self.temperature)

    @property
    def views(self) -> int:
        """Two."""
        return 2

    def pose(self, images: Tensor, ids: Tensor, places: Tensor, beats: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Pretext`; any size will do."""
        made = [self._view(images, ids, view) if len(images) else images for view in range(self.views)]
        return torch.cat(made), places.repeat(self.views)

    def _view(self, images: Tensor, ids: Tensor, view: int) -> Tensor:
        boxes = self._boxes(ids, view, (images.shape[2], images.shape[3]))
        flip, jitter, grey, blur, *numbers = uniform(ids, (9,), view, STREAM).to(images.dtype).unbind(1)
        images = _cut(images, boxes.to(images.dtype), (flip < 0.5) & self.flip)
        images = _where(jitter < JITTERED, self._recoloured(images, torch.stack(numbers[:4])), images)
        if images.shape[1] == 3:
            images = _where(grey < self.grey, _without_colours(images), images)
        if self.blur:
            images = _where(blur < self.blur, _blurred(images, SIGMA[0] + (SIGMA[1] - SIGMA[0]) * numbers[4]), images)
        return images.clamp(0, 1)  # interpolated values may be 1 + 1e-7

    def _boxes(self, ids: Tensor, view: int, size: tuple[int, int]) -> Tensor:
        """(N, 4): left, top, width and height of each image's box, in pixels.

        Of ten boxes the first that fits into the image; where none does, the largest of an allowed ratio, centred.
        """
        height, width = size
        areas, ratios, *_ = uniform(ids, (2, TRIES), view, STREAM, 1).unbind(1)
        area = height * width * (self.scale[0] + (self.scale[1] - self.scale[0]) * areas)
        low, high = torch.tensor(self.ratio).log()
        ratio = (low + (high - low) * ratios).exp()
        wide, high_ = (area * ratio).sqrt(), (area / ratio).sqrt()
        fits = (wide <= width) & (high_ <= height)
        first = fits.int().argmax(1, keepdim=True)
        sides = torch.stack([wide.gather(1, first)[:, 0], high_.gather(1, first)[:, 0]], 1)
        closest = min(max(width / height, self.ratio[0]), self.ratio[1])
        largest = sides.new_tensor([min(width, height * closest), min(height, width / closest)])
        some = fits.any(1, keepdim=True)
        sides = torch.where(some, sides, largest)
        at = torch.where(some, uniform(ids, (2,), view, STREAM, 2), 0.5)
        return torch.cat([at * (sides.new_tensor([width, height]) - sides), sides], 1)

    def _recoloured(self, images: Tensor, draws: Tensor) -> Tensor:
        """Brightness, contrast, saturation and hue moved by ``draws`` (4, N) in (0, 1), of which 1/2 is no change."""
        from kornia import enhance  # takes two seconds

        moves = 2 * draws - 1
        brightness, contrast, saturation = 1 + 0.8 * self.colour * moves[:3]
        images = enhance.adjust_brightness_accumulative(images, brightness)
        images = enhance.adjust_contrast_with_mean_subtraction(images, contrast)
        if images.shape[1] != 3:
            return images
        images = enhance.adjust_saturation_with_gray_subtraction(images, saturation)
        return enhance.adjust_hue(images, 0.2 * self.colour * 2 * torch.pi * moves[3])


def _cut(images: Tensor, boxes: Tensor, mirror: Tensor) -> Tensor:
    """What lies in each image's box, (N, 4), at the image's own size; mirrored left and right where ``mirror`` (N,)."""
    from kornia.geometry import warp_affine

    height, width = images.shape[2:]
    left, top, wide, high = boxes.unbind(1)
    across, down = width / wide, height / high  # pixel i reaches from i - 0.5 to i + 0.5
    shift = (0.5 - left) * across - 0.5
    zero = torch.zeros_like(left)
    rows = [
        torch.stack([torch.where(mirror, -across, across), zero, torch.where(mirror, width - 1 - shift, shift)], 1),
        torch.stack([zero, down, (0.5 - top) * down - 0.5], 1),
    ]
    return warp_affine(images, torch.stack(rows, 1), (height, width), padding_mode="border", align_corners=False)


def _without_colours(images: Tensor) -> Tensor:
    from kornia.color import rgb_to_grayscale

    return rgb_to_grayscale(images).expand_as(images)


def _blurred(images: Tensor, sigma: Tensor) -> Tensor:
    """Images under Gaussians of ``sigma`` (N,) pixels; those of fewer than 20 rows stay as they are."""
    from kornia.filters import gaussian_blur2d

    reach = min(images.shape[2] // 20, images.shape[3] - 1)
    return gaussian_blur2d(images, 2 * reach + 1, torch.stack([sigma, sigma], 1)) if reach else images


def _where(chosen: Tensor, first: Tensor, second: Tensor) -> Tensor:
    return torch.where(per_example(chosen, first), first, second)
