"""NYU Depth v2 from disk: classes, depth and normals of indoor scenes."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from testudo.data.dataset import DataSet, Examples, joined
from testudo.data.faults import skipped
from testudo.data.images import Stored
from testudo.data.maps import IGNORE
from testudo.data.normals import Camera, normals
from testudo.data.nyuv2_files import CLASSES, RoomFiles, Scene
from testudo.data.place import place
from testudo.data.plausible import Range, warn
from testudo.data.resize import nearest
from testudo.data.splits import generator, share
from testudo.errors import TestudoError
from testudo.tasks.depth import Depth
from testudo.tasks.normals import Normals
from testudo.tasks.segmentation import Segmentation
from testudo.tasks.task import Task

KINECT = Camera(518.8579, 519.4696, 325.5824, 253.7362, (480, 640))  # the colour camera, from NYU's toolbox
SMOOTHING = 1 / 48  # standard deviation of the window that normals are fitted in, of the height
BLOCK = 15  # consecutive images, often of one room, that are held out together
PARTS = {"train": "train", "val": "train", "test": "val"}
PLAUSIBLE = Range(0.3, 20, "m")


@dataclass(frozen=True)
class NYUv2(DataSet):
    """NYU Depth v2, labelled part (Silberman et al. 2012): 795 indoor photographs for training, 654 for test.

    Tasks: ``segmentation`` (13 classes), ``depth`` (metres), ``normal`` (x to the right, y down, z away from the
    camera; they point to it). Train and val are parts of the official training images, test is the official test
    part (``val`` on disk). Ids are the files' numbers. All is resized to ``size``: images bilinearly with
    antialiasing, labels, depth and normals of the files to the nearest pixel.

    Two layouts are read. Images: ``{train,val}/{image/K.jpg,depth/K.png,label13/K.png}``, depth in 8 bits of 10/255
    metres, 0 unknown. Arrays, as of Liu et al. (*Auto-Lambda*): ``{train,val}/{image,label,depth,normal}/K.npy``,
    (H, W, 3) in [0, 1], (H, W) with -1 unknown, (H, W, 1) metres with 0 unknown, (H, W, 3) unit vectors, all 0 where
    unknown. Where there are no normals they are derived from the depth and NYU's camera
    (:func:`testudo.data.normals.normals`). A map in which nothing is known is refused, as a mistake; of a median depth
    outside 0.3 to 20 m, which is no room's, one is warned.

    Args:
        root: the folder of ``train`` and ``val``; empty: ``nyuv2`` in the folder named by TESTUDO_DATA, or in
            ``../shared/data``.
        size: height and width in pixels.
        val_share: this share of the training images is for validation, in blocks of 15 consecutive ones, since
            neighbours often show one room.
        seed: decides which blocks.
        skip_bad: leave out examples with a missing, damaged or wrong file, and count them in the note, rather than
            refuse them all.

    Raises:
        TestudoError: one line naming the missing, damaged or mislabelled file, on use.

    >>> [task.name for task in NYUv2().tasks()]
    ['segmentation', 'depth', 'normal']
    """

    root: str = ""
    size: tuple[int, int] = (96, 128)
    val_share: float = 0.1
    seed: int = 0
    skip_bad: bool = False

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
        files = RoomFiles(place("nyuv2", self.root, "nyuv2", "train/ and val/") / PARTS[split])
        ids = torch.tensor(files.ids)
        if PARTS[split] == "train":
            ids = ids[self._held_out(len(ids)) == (split == "val")]
        if not len(ids):
            raise TestudoError(f"nyuv2: no {split} images in {str(files.folder)!r}")
        scenes, bad = self._scenes(files, ids.tolist())
        skip = skipped(len(bad), len(ids), next(iter(bad.values()), ""))
        image, label, depth, normal = (torch.stack(parts) for parts in zip(*scenes.values(), strict=True))
        targets = {"segmentation": label, "depth": depth[:, None], "normal": normal.half()}
        note = f"resized to {self.size[0]}x{self.size[1]}"
        note = joined(note, "normals derived from depth" * files.derived, skip)
        return Examples(Stored(image), targets, torch.tensor(list(scenes)), note)

    def check(self) -> list[str]:
        """One line for everything that is missing, cannot be read or holds what it must not."""
        try:
            parts = self._parts()
        except TestudoError as error:
            return [str(error)]
        found = []
        for files in parts:
            try:
                found += [line for index in files.ids for line in files.faults(index)]
            except TestudoError as error:
                found.append(str(error))
        return found

    def doubts(self) -> list[str]:
        """One line for each depth file whose median is not that of a room."""
        found = []
        for files in self._parts():
            for index in files.ids:
                with suppress(TestudoError):  # told by check
                    found.append(PLAUSIBLE.doubt(files.path("depth", index), files.depth(index)))
        return [line for line in found if line]

    def _parts(self) -> list[RoomFiles]:
        root = place("nyuv2", self.root, "nyuv2", "train/ and val/")
        return [RoomFiles(root / part) for part in ("train", "val")]

    def _scenes(self, files: RoomFiles, ids: list[int]) -> tuple[dict[int, Scene], dict[int, str]]:
        """The scenes at ``size`` by number; and, where they are skipped, what is wrong with others."""
        scenes, bad, doubts = {}, {}, []
        for index in ids:
            try:
                scene = files.scene(index)
            except TestudoError as error:
                if not self.skip_bad:
                    raise
                bad[index] = str(error)
                continue
            doubts.append(PLAUSIBLE.doubt(files.path("depth", index), scene.depth))
            scenes[index] = self._resized(scene, files.derived)
        warn("nyuv2", [line for line in doubts if line])
        return scenes, bad

    def _held_out(self, count: int) -> Tensor:
        """(count,) bool: the training images that are for validation."""
        blocks = -(-count // BLOCK)
        chosen = torch.zeros(blocks, dtype=torch.bool)
        order = torch.randperm(blocks, generator=generator(self.seed))
        chosen[order[: share(blocks, self.val_share, "val_share")]] = True
        return chosen.repeat_interleave(BLOCK)[:count]

    def _resized(self, scene: Scene, derived: bool) -> Scene:
        """The scene at ``size``; its normals, where the files have none, are derived from the depth of all pixels."""
        image = scene.image
        if scene.depth.shape != self.size:
            shrunk = F.interpolate(image[None].float(), self.size, mode="bilinear", antialias=True, align_corners=False)
            image = shrunk[0].round().clamp(0, 255).byte()
        pixels = nearest((scene.depth.shape[0], scene.depth.shape[1]), self.size)
        label, depth, normal = (x[..., pixels[0], pixels[1]] for x in scene[1:])
        if derived:
            sigma = max(1.0, SMOOTHING * self.size[0])
            normal = normals(_averaged(scene.depth, self.size), KINECT.at(self.size), sigma)
            normal = torch.where(depth.isnan(), torch.nan, normal)
        return Scene(image, label, depth, normal)


def _averaged(depth: Tensor, size: tuple[int, int]) -> Tensor:
    """A depth map (H, W) resized by averaging 1/depth, which is linear on planes; unknown where half of it is."""
    known = ~depth.isnan()
    maps = torch.stack([known.float(), torch.where(known, 1 / depth, 0)])[None]
    weight, inverse = F.interpolate(maps, size, mode="bilinear", antialias=True, align_corners=False)[0]
    return torch.where(weight > 0.5, weight / inverse, torch.nan)
