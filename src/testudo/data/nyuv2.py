"""NYU Depth v2 from disk: classes, depth and normals of indoor scenes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from testudo.data.dataset import DataSet, Examples, joined
from testudo.data.images import Stored, opened
from testudo.data.normals import Camera, normals
from testudo.data.place import place
from testudo.data.splits import generator, share
from testudo.errors import TestudoError, one_line
from testudo.tasks.dense import Depth, Normals
from testudo.tasks.segmentation import Segmentation
from testudo.tasks.task import Task

CLASSES = (
    "bed", "books", "ceiling", "chair", "floor", "furniture", "objects", "picture", "sofa", "table", "tv", "wall",
    "window",
)  # fmt: skip
IGNORE = 255
METRES = 10 / 255  # of one step of an 8-bit depth image
KINECT = Camera(518.8579, 519.4696, 325.5824, 253.7362, (480, 640))  # the colour camera, from NYU's toolbox
SMOOTHING = 1 / 48  # standard deviation of the window that normals are fitted in, of the height
BLOCK = 15  # consecutive images, often of one room, that are held out together
LAYOUTS = {".jpg": ("image", "depth", "label13"), ".npy": ("image", "label", "depth", "normal")}
PARTS = {"train": "train", "val": "train", "test": "val"}


class _Scene(NamedTuple):
    """One example: image (3, H, W) uint8, label (H, W) uint8, depth (H, W) metres, normal (3, H, W); NaN unknown."""

    image: Tensor
    label: Tensor
    depth: Tensor
    normal: Tensor


@dataclass(frozen=True)
class NYUv2(DataSet):
    """NYU Depth v2, labelled part (Silberman et al. 2012): 795 indoor photographs for training, 654 for test.

    Tasks: ``segmentation`` (13 classes), ``depth`` (metres), ``normal`` (x to the right, y down, z away from the
    camera; they point to it). Train and val are parts of the official training images, test is the official test
    part (``val`` on disk). Ids are the files' numbers. All is resized to ``size``: images bilinearly with
    antialiasing, labels, depth and normals of the files to the nearest pixel.

    Two layouts are read. Images: ``{train,val}/{image/K.jpg,depth/K.png,label13/K.png}``, depth in 8 bits of 10/255
    metres, 0 unknown; normals are derived from the depth (:func:`testudo.data.normals.normals`). Arrays, as of Liu
    et al. (*Auto-Lambda*): ``{train,val}/{image,label,depth,normal}/K.npy``, (H, W, 3) in [0, 1], (H, W) with -1
    unknown, (H, W, 1) metres with 0 unknown, (H, W, 3) unit vectors, all 0 where unknown.

    Args:
        root: the folder of ``train`` and ``val``; empty: ``nyuv2`` in the folder named by TESTUDO_DATA, or in
            ``../shared/data``.
        size: height and width in pixels.
        val_share: this share of the training images is for validation, in blocks of 15 consecutive ones, since
            neighbours often show one room.
        seed: decides which blocks.

    Raises:
        TestudoError: one line naming the missing, damaged or mislabelled file, on use.

    >>> [task.name for task in NYUv2().tasks()]
    ['segmentation', 'depth', 'normal']
    """

    root: str = ""
    size: tuple[int, int] = (96, 128)
    val_share: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        share(1, self.val_share, "nyuv2: val_share")
        if min(self.size) < 8:
            raise TestudoError(f"nyuv2: size must be height and width of at least 8 pixels, got {self.size}")

    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Those of the 795 training images at 96 x 128, whatever part of them is here."""
        return (0.4838, 0.4157, 0.3972), (0.2741, 0.2804, 0.2933)

    def labelled(self) -> tuple[Task, ...]:
        """The three tasks."""
        segmentation = Segmentation("segmentation", classes=len(CLASSES), ignore=IGNORE, labels=CLASSES)
        return segmentation, Depth("depth"), Normals("normal")

    def read(self, split: str) -> Examples:
        """The examples of ``split``, decoded."""
        files = _Files(place("nyuv2", self.root, "nyuv2", "train/ and val/") / PARTS[split])
        ids = torch.tensor(files.ids)
        if PARTS[split] == "train":
            ids = ids[self._held_out(len(ids)) == (split == "val")]
        if not len(ids):
            raise TestudoError(f"nyuv2: no {split} images in {str(files.folder)!r}")
        scenes = [self._resized(files.scene(index), files.derived) for index in ids.tolist()]
        image, label, depth, normal = (torch.stack(parts) for parts in zip(*scenes, strict=True))
        targets = {"segmentation": label, "depth": depth[:, None], "normal": normal.half()}
        note = f"resized to {self.size[0]}x{self.size[1]}"
        return Examples(Stored(image), targets, ids, joined(note, "normals derived from depth" * files.derived))

    def check(self) -> list[str]:
        """One line for each file that is missing, cannot be read or holds what it must not."""
        try:
            root = place("nyuv2", self.root, "nyuv2", "train/ and val/")
        except TestudoError as error:
            return [str(error)]
        return [problem for part in ("train", "val") for problem in _Files(root / part).problems()]

    def _held_out(self, count: int) -> Tensor:
        """(count,) bool: the training images that are for validation."""
        blocks = -(-count // BLOCK)
        chosen = torch.zeros(blocks, dtype=torch.bool)
        order = torch.randperm(blocks, generator=generator(self.seed))
        chosen[order[: share(blocks, self.val_share, "val_share")]] = True
        return chosen.repeat_interleave(BLOCK)[:count]

    def _resized(self, scene: _Scene, derived: bool) -> _Scene:
        """The scene at ``size``; its normals, where the files have none, are derived from the depth of all pixels."""
        image = scene.image
        if scene.depth.shape != self.size:
            shrunk = F.interpolate(image[None].float(), self.size, mode="bilinear", antialias=True, align_corners=False)
            image = shrunk[0].round().clamp(0, 255).byte()
        rows, columns = (
            ((torch.arange(new) + 0.5) * old / new).long()
            for new, old in zip(self.size, scene.depth.shape, strict=True)
        )
        label, depth, normal = (x[..., rows[:, None], columns] for x in scene[1:])
        if derived:
            sigma = max(1.0, SMOOTHING * self.size[0])
            normal = normals(_averaged(scene.depth, self.size), KINECT.at(self.size), sigma)
            normal = torch.where(depth.isnan(), torch.nan, normal)
        return _Scene(image, label, depth, normal)


def _averaged(depth: Tensor, size: tuple[int, int]) -> Tensor:
    """A depth map (H, W) resized by averaging 1/depth, which is linear on planes; unknown where half of it is."""
    known = ~depth.isnan()
    maps = torch.stack([known.float(), torch.where(known, 1 / depth, 0)])[None]
    weight, inverse = F.interpolate(maps, size, mode="bilinear", antialias=True, align_corners=False)[0]
    return torch.where(weight > 0.5, weight / inverse, torch.nan)


class _Files:
    """The files of one part, in whichever layout they are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.derived = not any((folder / "image").glob("*.npy"))
        self.kinds = LAYOUTS[".jpg" if self.derived else ".npy"]

    @cached_property
    def ids(self) -> list[int]:
        """The numbers of all files of any kind, sorted."""
        if not (self.folder / "image").is_dir():
            raise TestudoError(f"nyuv2: no folder {str(self.folder / 'image')!r}")
        names = {path.stem for kind in self.kinds for path in (self.folder / kind).glob("*.*")}
        return sorted(int(name) for name in names if name.isdecimal())

    def problems(self) -> Iterator[str]:
        """A line for each example that cannot be read."""
        try:
            ids = self.ids
        except TestudoError as error:
            yield str(error)
            return
        for index in ids:
            try:
                self.scene(index)
            except TestudoError as error:
                yield str(error)

    def scene(self, index: int) -> _Scene:
        """One example; raises TestudoError naming the file that is wrong."""
        scene = self._decoded(index) if self.derived else self._arrays(index)
        for kind, part in zip(("image", "depth", "normal"), (scene.image, scene.depth, scene.normal), strict=True):
            if part.shape[-2:] != scene.label.shape:
                found = " and ".join("x".join(map(str, x.shape[-2:])) for x in (part, scene.label))
                raise TestudoError(f"{self._path(kind, index)}: {kind} and label differ in size: {found}")
        wrong = (scene.label >= len(CLASSES)) & (scene.label != IGNORE)
        if wrong.any():
            kind, value = self.kinds[2 if self.derived else 1], int(scene.label[wrong][0])
            allowed = f"0 to {len(CLASSES) - 1}, or unknown"
            raise TestudoError(f"{self._path(kind, index)}: label {value} is out of range (allowed: {allowed})")
        return scene

    def _path(self, kind: str, index: int) -> Path:
        ending = ".npy" if not self.derived else ".jpg" if kind == "image" else ".png"
        return self.folder / kind / f"{index}{ending}"

    def _decoded(self, index: int) -> _Scene:
        image, depth, label = (opened(self._path(kind, index), "nyuv2") for kind in self.kinds)
        metres = torch.from_numpy(np.array(depth.convert("L"))).float() * METRES
        metres = torch.where(metres == 0, torch.nan, metres)
        pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
        classes = torch.from_numpy(np.array(label.convert("L")))
        return _Scene(pixels, classes, metres, metres.new_full((3, *metres.shape), torch.nan))

    def _arrays(self, index: int) -> _Scene:
        image, label, depth, normal = (
            _array(self._path(kind, index), depth) for kind, depth in zip(self.kinds, (3, None, 1, 3), strict=True)
        )
        normal = normal.permute(2, 0, 1)
        length = normal.square().sum(0).sqrt()
        pixels = (image.permute(2, 0, 1).clamp(0, 1) * 255).round().byte()
        classes = torch.where(label < 0, IGNORE, label).clamp(max=IGNORE).byte()
        metres = torch.where(depth[..., 0] > 0, depth[..., 0], torch.nan)
        return _Scene(pixels, classes, metres, torch.where(length > 0.5, normal / length, torch.nan))


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
