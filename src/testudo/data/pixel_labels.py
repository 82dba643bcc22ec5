"""Labels for every pixel that are made from pixels or depth: one part of a recipe for each kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from testudo.data.canny import canny
from testudo.data.derived import Derived
from testudo.data.gradients import sobel
from testudo.data.harris import harris
from testudo.data.hog import hog, spread
from testudo.data.occlusion import occlusion
from testudo.errors import TestudoError, unknown
from testudo.tasks.depth import Depth, Disparity
from testudo.tasks.maps import HOG, Autoencoder, Edges, Keypoints
from testudo.tasks.task import Task

KEPT = torch.float16


@dataclass(frozen=True)
class PixelLabel(Derived, ABC):
    """A derived task whose labels are maps, (N, C, H, W) float32.

    What is found is rounded to half precision, in which it is kept where labels are made ahead of time.

    Args:
        name: the new task's name.
        loss_kind: of the task, ``"l1"`` or ``"l2"``.
    """

    loss_kind: Literal["l1", "l2"] = "l1"

    worth_keeping: ClassVar[bool] = True
    version: ClassVar[int] = 1  # of the code: another one where the same image gets other labels

    def __post_init__(self) -> None:
        if self.loss_kind not in ("l1", "l2"):
            raise unknown("loss_kind", self.loss_kind, ("l1", "l2"))

    @abstractmethod
    def find(self, source: Tensor) -> Tensor:
        """From (N, C, H, W) images, or labels of ``origin``, what the labels are made of."""

    def finish(self, found: Tensor, size: tuple[int, int]) -> Tensor:
        """The labels, (N, C, H, W) with H x W = ``size``, from what was found."""
        return found.float()

    def targets(self, source: Tensor) -> Tensor:
        """See :class:`testudo.data.derived.Derived`."""
        return self.finish(self.find(source).to(KEPT), (source.shape[2], source.shape[3]))

    def fits(self, channels: int) -> None:
        """Raise TestudoError where images of so many channels cannot be used."""

    def wrong(self, rule: str) -> TestudoError:
        """The error for a field that breaks a rule."""
        return TestudoError(f"derived task {self.name!r}: {rule}")


@dataclass(frozen=True)
class ImageLabel(PixelLabel):
    """The image itself, (N, channels, H, W) in [0, 1], for an autoencoder.

    Args:
        name, loss_kind: see :class:`PixelLabel`.
        channels: of the images, 1 for grey and 3 for RGB.

    >>> ImageLabel("image").targets(torch.ones(1, 3, 2, 2)).shape
    torch.Size([1, 3, 2, 2])
    """

    channels: int = 3

    worth_keeping: ClassVar[bool] = False

    def find(self, source: Tensor) -> Tensor:
        """The image."""
        return source

    def targets(self, source: Tensor) -> Tensor:
        """The image, to the last bit."""
        return source

    def fits(self, channels: int) -> None:
        """Only the number it was told."""
        if channels != self.channels:
            raise self.wrong(f"channels is {self.channels}, but the images have {channels}")

    def task(self, source: Task | None) -> Task:
        """See :class:`testudo.tasks.maps.Autoencoder`."""
        return Autoencoder(self.name, loss_kind=self.loss_kind, channels=self.channels)


@dataclass(frozen=True)
class SobelLabel(PixelLabel):
    """How steep the grey level is, (N, 1, H, W) in [0, 0.8]; see :func:`testudo.data.gradients.sobel`.

    >>> step = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(1, 1, 3, 4)
    >>> SobelLabel("edges").targets(step)[0, 0, 1]
    tensor([0.0000, 0.7070, 0.7070, 0.0000])
    """

    def find(self, source: Tensor) -> Tensor:
        """See :func:`testudo.data.gradients.sobel`."""
        return sobel(source)

    def task(self, source: Task | None) -> Task:
        """See :class:`testudo.tasks.maps.Edges`."""
        return Edges(self.name, loss_kind=self.loss_kind)


@dataclass(frozen=True)
class CannyLabel(PixelLabel):
    """Thin edges, (N, 1, H, W) of 0 and 1; see :func:`testudo.data.canny.canny`.

    Args:
        name, loss_kind: see :class:`PixelLabel`.
        sigma: smooths the grey levels first; standard deviation in pixels, 0 for not at all.
        low: slopes from this on may belong to an edge, in grey levels (0 to 1) over two pixels.
        high: one pixel of an edge must have this slope.

    >>> step = torch.tensor([0.0, 0.0, 0.2, 1.0, 1.0]).expand(1, 1, 3, 5)
    >>> CannyLabel("edges", sigma=0.0).targets(step)[0, 0, 1]
    tensor([0., 0., 1., 0., 0.])
    """

    sigma: float = 1.0
    low: float = 0.05
    high: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sigma < 0 or not 0 <= self.low <= self.high:
            found = f"{self.sigma}, {self.low} and {self.high}"
            raise self.wrong(f"sigma must be at least 0, and 0 <= low <= high, got {found}")

    def find(self, source: Tensor) -> Tensor:
        """See :func:`testudo.data.canny.canny`."""
        return canny(source, self.sigma, self.low, self.high)

    def task(self, source: Task | None) -> Task:
        """See :class:`testudo.tasks.maps.Edges`."""
        return Edges(self.name, loss_kind=self.loss_kind)


@dataclass(frozen=True)
class HarrisLabel(PixelLabel):
    """How much of a corner there is, (N, 1, H, W) in [0, 0.8]; see :func:`testudo.data.harris.harris`.

    Args:
        name, loss_kind: see :class:`PixelLabel`.
        sigma: of the window that slopes are averaged in; standard deviation in pixels.
        k: the larger, the sharper a corner must be; 0 to 0.25.

    >>> HarrisLabel("corners").targets(torch.rand(2, 3, 8, 8)).shape
    torch.Size([2, 1, 8, 8])
    """

    sigma: float = 1.0
    k: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sigma <= 0 or not 0 <= self.k < 0.25:
            raise self.wrong(f"sigma must be above 0, and 0 <= k < 0.25, got {self.sigma} and {self.k}")

    def find(self, source: Tensor) -> Tensor:
        """See :func:`testudo.data.harris.harris`."""
        return harris(source, self.sigma, self.k)

    def task(self, source: Task | None) -> Task:
        """See :class:`testudo.tasks.maps.Keypoints`."""
        return Keypoints(self.name, loss_kind=self.loss_kind)


@dataclass(frozen=True)
class HogLabel(PixelLabel):
    """For every pixel the histogram of oriented gradients of its cell, (N, 9, H, W) in [0, 1].

    See :func:`testudo.data.hog.hog`.

    Args:
        name, loss_kind: see :class:`PixelLabel`.
        cell: height and width of a cell in pixels.

    >>> HogLabel("hog").targets(torch.rand(2, 3, 16, 16)).shape
    torch.Size([2, 9, 16, 16])
    """

    cell: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cell < 1:
            raise self.wrong(f"cell must be at least 1 pixel, got {self.cell}")

    def find(self, source: Tensor) -> Tensor:
        """One histogram for each cell."""
        return hog(source, self.cell)

    def finish(self, found: Tensor, size: tuple[int, int]) -> Tensor:
        """The same for all pixels of a cell."""
        return spread(found.float(), self.cell, size)

    def task(self, source: Task | None) -> Task:
        """See :class:`testudo.tasks.maps.HOG`."""
        return HOG(self.name, loss_kind=self.loss_kind)


@dataclass(frozen=True)
class OcclusionLabel(PixelLabel):
    """How far the depth jumps, (N, 1, H, W) in [0, 1], NaN where unknown; see :func:`testudo.data.occlusion.occlusion`.

    Args:
        name, loss_kind: see :class:`PixelLabel`.
        source: the task it is made from.
        disparity: whether that is a disparity, which grows towards the camera, and no depth.

    >>> metres = torch.tensor([1.0, 1.0, 1.0, 4.0, 4.0]).reshape(1, 1, 1, 5)
    >>> OcclusionLabel("occlusion").targets(metres).flatten().tolist()
    [0.0, 0.0, 0.75, 0.75, 0.0]
    """

    source: str = "depth"
    disparity: bool = False

    @property
    def origin(self) -> str:
        """See :class:`testudo.data.derived.Derived`."""
        return self.source

    def find(self, source: Tensor) -> Tensor:
        """See :func:`testudo.data.occlusion.occlusion`."""
        return occlusion(source.float() if self.disparity else 1 / source.float())

    def task(self, source: Task | None) -> Task:
        """See :class:`testudo.tasks.maps.Edges`."""
        wanted = Disparity if self.disparity else Depth
        if not isinstance(source, wanted):
            words = f"disparity = {str(self.disparity).lower()} wants a {wanted.__name__.lower()} task"
            raise self.wrong(f"{words}; its source {self.source!r} is none")
        return Edges(self.name, loss_kind=self.loss_kind)
