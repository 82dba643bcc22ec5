"""The files of NYU Depth v2, in either of two layouts, one example at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from testudo.data.images import opened
from testudo.data.maps import IGNORE
from testudo.errors import TestudoError, one_line

CLASSES = (
    "bed", "books", "ceiling", "chair", "floor", "furniture", "objects", "picture", "sofa", "table", "tv", "wall",
    "window",
)  # fmt: skip
METRES = 10 / 255  # of one step of an 8-bit depth image
IMAGES = {"image": "image/{}.jpg", "depth": "depth/{}.png", "label": "label13/{}.png"}
ARRAYS = {"image": "image/{}.npy", "depth": "depth/{}.npy", "label": "label/{}.npy", "normal": "normal/{}.npy"}
CHANNELS = {"image": 3, "depth": 1, "label": None, "normal": 3}  # of an array


class Scene(NamedTuple):
    """One example: image (3, H, W) uint8, label (H, W) uint8, depth (H, W) metres, normal (3, H, W); NaN unknown."""

    image: Tensor
    label: Tensor
    depth: Tensor
    normal: Tensor


@dataclass(frozen=True)
class RoomFiles:
    """The files of one part, in whichever layout they are.

    Args:
        folder: of the part, ``train`` or ``val``.
    """

    folder: Path

    @cached_property
    def arrays(self) -> bool:
        """Whether they are arrays rather than images."""
        return any((self.folder / "image").glob("*.npy"))

    @cached_property
    def kinds(self) -> dict[str, str]:
        """The file of each kind, with ``{}`` for the example's number; no normals where there is no folder of them."""
        kinds = ARRAYS if self.arrays else IMAGES
        return {kind: name for kind, name in kinds.items() if kind != "normal" or (self.folder / kind).is_dir()}

    @property
    def derived(self) -> bool:
        """Whether the files have no normals."""
        return "normal" not in self.kinds

    @cached_property
    def ids(self) -> list[int]:
        """The numbers of all files of any kind, sorted."""
        if not (self.folder / "image").is_dir():
            raise TestudoError(f"nyuv2: no folder {str(self.folder / 'image')!r}")
        folders = [(self.folder / name).parent for name in self.kinds.values()]
        names = {path.stem for folder in folders for path in folder.glob("*.*")}
        return sorted(int(name) for name in names if name.isdecimal())

    def path(self, kind: str, index: int) -> Path:
        """The file of one kind."""
        return self.folder / self.kinds[kind].format(index)

    def scene(self, index: int) -> Scene:
        """One example; raises TestudoError naming the file that is wrong."""
        return self._checked(index, {kind: self._read(kind, index) for kind in self.kinds})

    def depth(self, index: int) -> Tensor:
        """(H, W) metres, NaN where unknown."""
        return self._read("depth", index)

    def faults(self, index: int) -> list[str]:
        """One line for everything that is wrong with an example, each file tried."""
        parts, found = {}, []
        for kind in self.kinds:
            try:
                parts[kind] = self._read(kind, index)
            except TestudoError as error:
                found.append(str(error))
        try:
            if not found:
                self._checked(index, parts)
        except TestudoError as error:
            found.append(str(error))
        return found

    def _checked(self, index: int, parts: dict[str, Tensor]) -> Scene:
        label = parts["label"]
        for kind, part in parts.items():
            if part.shape[-2:] != label.shape:
                found = " and ".join("x".join(map(str, x.shape[-2:])) for x in (part, label))
                raise TestudoError(f"{self.path(kind, index)}: {kind} and label differ in size: {found}")
        wrong = (label >= len(CLASSES)) & (label != IGNORE)
        if wrong.any():
            allowed = f"0 to {len(CLASSES) - 1}, or unknown"
            value = int(label[wrong][0])
            raise TestudoError(f"{self.path('label', index)}: label {value} is out of range (allowed: {allowed})")
        depth = parts["depth"]
        for kind, nothing in (("label", (label == IGNORE).all()), ("depth", depth.isnan().all())):
            if nothing:
                raise TestudoError(f"{self.path(kind, index)}: no pixel is labelled: all of them are unknown")
        return Scene(parts["image"], label, depth, parts.get("normal", depth.new_full((3, *depth.shape), torch.nan)))

    def _read(self, kind: str, index: int) -> Tensor:
        path = self.path(kind, index)
        return _as_arrays(kind, _array(path, CHANNELS[kind])) if self.arrays else _as_images(kind, path)


def _as_images(kind: str, path: Path) -> Tensor:
    image = opened(path, "nyuv2")
    values = torch.from_numpy(np.array(image.convert("RGB" if kind == "image" else "L")))
    if kind == "image":
        return values.permute(2, 0, 1)
    return torch.where(values == 0, torch.nan, values.float() * METRES) if kind == "depth" else values


def _as_arrays(kind: str, values: Tensor) -> Tensor:
    if kind == "image":
        return (values.permute(2, 0, 1).clamp(0, 1) * 255).round().byte()
    if kind == "label":
        return torch.where(values < 0, IGNORE, values).clamp(max=IGNORE).byte()
    if kind == "depth":
        return torch.where(values[..., 0] > 0, values[..., 0], torch.nan)
    normal = values.permute(2, 0, 1)
    length = normal.square().sum(0).sqrt()
    return torch.where(length > 0.5, normal / length, torch.nan)


def _array(path: Path, depth: int | None) -> Tensor:
    """The array in a file as float32, (H, W) or with a further dimension of ``depth``."""
    try:
        found = torch.from_numpy(np.load(path, allow_pickle=False).astype(np.float32))
    except (OSError, ValueError, EOFError) as error:
        raise TestudoError(f"nyuv2: cannot read {str(path)!r}: {one_line(error)}") from error
    wanted = found.shape[:2] if depth is None else (*found.shape[:2], depth)
    if found.dim() < 2 or found.shape != wanted or found.isinf().any():
        raise TestudoError(f"{path}: must hold finite numbers (height, width{'' if depth is None else f', {depth}'})")
    return found
