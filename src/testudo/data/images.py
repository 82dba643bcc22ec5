"""Where the pixels of a split lie: in memory, or in image files that are opened when asked for."""

from __future__ import annotations

import hashlib
import io
import warnings
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from testudo.data.content import contents, digests
from testudo.errors import TestudoError, one_line

GREY_MODES = ("1", "L", "LA")
DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "F")
DEEP_PLANES, FLAT_PLANES = ("I", "I;16", "I;16B", "I;16L"), ("L", "P")


class Images(Protocol):
    """The images of a split; ``shape`` is (C, H, W), the same for all."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""

    def __len__(self) -> int: ...

    def read(self, indices: Tensor) -> Tensor:
        """The images at ``indices`` (n,): (n, C, H, W) float32 in [0, 1]."""

    def take(self, indices: Tensor) -> Images:
        """Only the images at ``indices``, in that order."""

    def digests(self) -> list[bytes]:
        """A SHA-256 of the content of each image; raises TestudoError where one is missing."""

    def problems(self) -> list[str]:
        """One line for each image that cannot be read."""


@dataclass(frozen=True, eq=False)
class Stored:
    """Images in memory.

    Args:
        pixels: (N, C, H, W), uint8 in 0..255 or float32 in [0, 1].

    >>> Stored(torch.full((2, 1, 4, 4), 255, dtype=torch.uint8)).read(torch.tensor([1])).max()
    tensor(1.)
    """

    pixels: Tensor

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        _, channels, height, width = self.pixels.shape
        return channels, height, width

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, indices: Tensor) -> Tensor:
        """See :class:`Images`."""
        picked = self.pixels[indices]
        return picked.float() / 255 if picked.dtype == torch.uint8 else picked

    def take(self, indices: Tensor) -> Stored:
        """See :class:`Images`."""
        return Stored(self.pixels[indices])

    def digests(self) -> list[bytes]:
        """See :class:`Images`; over the pixel values as stored."""
        return [hashlib.sha256(image.tobytes()).digest() for image in self.pixels.numpy()]

    def problems(self) -> list[str]:
        """None: what is in memory was read."""
        return []


@dataclass(frozen=True, eq=False)
class Files:
    """Encoded images (PNG, JPEG, ...), decoded on access.

    Args:
        items: for each image the path of its file, or its encoded bytes.
        where: for each image the words that name it in an error ("birds.csv row 7").
        shape: (C, H, W) of what is given out; C is 1 (grey) or 3 (RGB).
        resize: bring images of another size to ``shape`` (bilinear, with antialiasing) rather than refuse.
    """

    items: tuple[Path | bytes, ...]
    where: tuple[str, ...]
    shape: tuple[int, int, int]
    resize: bool = False

    def __len__(self) -> int:
        return len(self.items)

    def read(self, indices: Tensor) -> Tensor:
        """See :class:`Images`; raises TestudoError naming the first image that cannot be read."""
        return self.pixels(indices).float() / 255

    def pixels(self, indices: Tensor) -> Tensor:
        """The images at ``indices`` as they are in the files: (n, C, H, W) uint8."""
        empty = torch.empty(len(indices), *self.shape, dtype=torch.uint8)
        for row, index in enumerate(indices.tolist()):
            empty[row] = self._decode(index)
        return empty

    def take(self, indices: Tensor) -> Files:
        """See :class:`Images`."""
        kept = indices.tolist()
        items, where = tuple(self.items[i] for i in kept), tuple(self.where[i] for i in kept)
        return replace(self, items=items, where=where)

    def digests(self) -> list[bytes]:
        """See :class:`Images`; over the bytes of the files."""
        return digests(self.items, self.where)

    def problems(self) -> list[str]:
        """See :class:`Images`; decodes every image."""
        found = []
        for index in range(len(self)):
            try:
                self._decode(index)
            except TestudoError as error:
                found.append(str(error))
        return found

    def _decode(self, index: int) -> Tensor:
        where = self.where[index]
        channels, height, width = self.shape
        image = opened(self.items[index], where).convert("L" if channels == 1 else "RGB")
        if image.size != (width, height):
            if not self.resize:
                raise TestudoError(
                    f"{where}: the image is {image.height}x{image.width} (height x width), "
                    f"expected {height}x{width}; a manifest's field size resizes"
                )
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(image)).reshape(height, width, channels).permute(2, 0, 1)


def opened(item: Path | bytes, where: str) -> Image.Image:
    """A decoded image; raises TestudoError naming ``where`` if it is missing, cut short or not an image."""
    image = decoded(item, where)
    if image.mode in DEEP_MODES:
        raise TestudoError(
            f"{where}: image{_named(item)} has more than 8 bits per channel (mode {image.mode}); convert it first"
        )
    return image


def plane(item: Path | bytes, where: str, deep: bool = False) -> np.ndarray:
    """The whole numbers of a label or depth image, (H, W), in the integer type of the file.

    Args:
        item: its file, or encoded bytes.
        where: the words that name it in an error.
        deep: it has more than 8 bits per pixel (a 16-bit PNG, a 32-bit TIFF) rather than 8.

    Raises:
        TestudoError: it cannot be read, has colours, or another depth than ``deep`` says.
    """
    image = decoded(item, where)
    if image.mode not in (DEEP_PLANES if deep else FLAT_PLANES):
        wanted = f"one number of {'more than 8' if deep else '8'} bits per pixel"
        raise TestudoError(f"{where}: image{_named(item)} must hold {wanted}, it has mode {image.mode}")
    return np.array(image)


def decoded(item: Path | bytes, where: str) -> Image.Image:
    """A decoded image of any depth; raises TestudoError naming ``where`` as :func:`opened` does."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata and of large images; neither harms
            image = Image.open(io.BytesIO(contents(item, where)))
            image.load()
    except TestudoError:
        raise
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error, ...
        # Pillow's own text for this case ends in the repr of a buffer, which helps nobody
        unknown_kind = isinstance(error, Image.UnidentifiedImageError)
        reason = "not an image of a known kind" if unknown_kind else one_line(error)
        raise TestudoError(f"{where}: cannot decode image{_named(item)}: {reason}") from error
    return image


def size_of(item: Path, where: str) -> tuple[int, int]:
    """Height and width of an image file, of which only the start is read; raises as :func:`opened` does."""
    with suppress(Exception), Image.open(item) as image:
        return image.height, image.width
    image = decoded(item, where)  # which tells what is wrong with it
    return image.height, image.width


def _named(item: Path | bytes) -> str:
    return "" if isinstance(item, bytes) else f" {str(item)!r}"


def is_jpeg(item: Path | bytes) -> bool:
    """Whether encoded bytes, or a file's first bytes, are a JPEG's."""
    if isinstance(item, bytes):
        return item[:3] == b"\xff\xd8\xff"
    with item.open("rb") as file:
        return file.read(3) == b"\xff\xd8\xff"
