"""Cityscapes from disk: classes, parts, disparity of street scenes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from testudo.data.derived import Derived
from testudo.data.maps import IGNORE
from testudo.data.pixel_labels import ImageLabel
from testudo.data.place import place
from testudo.data.plausible import Range
from testudo.data.resize import matching, nearest
from testudo.data.splits import held_out, share
from testudo.data.streamed import Streamed, check_wanted
from testudo.data.street_files import StreetFiles
from testudo.data.street_labels import CLASSES, PARTS, classes, parts
from testudo.errors import TestudoError, unknown
from testudo.tasks.depth import Disparity
from testudo.tasks.segmentation import Segmentation
from testudo.tasks.task import Task

WIDTH = 2048  # of the images that disparities were measured in
TASKS = ("segmentation", "parts", "disparity", "depth", "image")


class _Preparation(NamedTuple):
    """What a paper made of the files: height and width, tasks, and the mean and deviation that models normalise by."""

    size: tuple[int, int]
    wanted: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]


PREPARATIONS = {
    "minmax": _Preparation((256, 512), ("segmentation", "parts", "disparity"), (0.5,) * 3, (0.5,) * 3),
    "mao": _Preparation(
        (340, 680), ("segmentation", "depth", "image"), (0.2901, 0.3281, 0.2870), (0.1830, 0.1866, 0.1845)
    ),
}


@dataclass(frozen=True)
class Cityscapes(Streamed):
    """Cityscapes, fine annotations (Cordts et al. 2016): 2,975 street scenes of 18 cities, 500 of 3 others for test.

    Tasks: ``segmentation`` (19 classes); ``parts`` (10: background, four parts of persons and riders, five of cars,
    trucks and buses, as in *Auto-Lambda*'s code; what is void there is background); ``disparity``, in pixels of the
    resized image, (p - 1) / 256 x width / 2048 for a value p of the file; ``depth``, which is no depth but p / 1000,
    Mao et al.'s name for it; ``image`` (an autoencoder, squared error). A value p of 0 is unknown.

    Train and val are parts of the official training cities, test is the official validation part, since the official
    test part has no labels: val is whole cities, drawn by ``seed`` and named in the note. Files, all as published:
    ``leftImg8bit/{train,val}/CITY/*_leftImg8bit.png``, ``gtFine/.../*_gtFine_labelIds.png`` (or ``_labelTrainIds``),
    ``disparity/.../*_disparity.png`` (16 bits), ``gtFinePanopticParts/.../*_gtFinePanopticParts.tif`` (version 2.0 of
    de Geus et al., https://arxiv.org/abs/2106.06351). Instead, the files that *Auto-Lambda*'s script makes of them
    (https://github.com/lorenmt/auto-lambda): ``{train,val}/{image,seg,depth}/K.png`` and ``part_seg/K.tif``, the same
    values at 256 x 512; there val is blocks of 100 consecutive images.

    Args:
        root: the folder of these; empty: ``cityscapes`` in the folder named by TESTUDO_DATA, or in ``../shared/data``.
        preparation: whose ``size`` and tasks, where not given otherwise. ``"minmax"``: 256 x 512, segmentation, parts
            and disparity, which is then (p - 1) / 1024, images brought to [-1, 1] by the model. ``"mao"``: 340 x 680,
            about a third, segmentation, depth and image; unlike their code, unknown disparities are masked, maps are
            resized to the nearest pixel rather than averaged, nothing is cropped.
        size: height and width in pixels; (0, 0): the preparation's.
        wanted: the tasks whose labels are read; empty: the preparation's. What is not wanted need not be there.
        val_share: about this share of the training images is for validation.
        seed: decides which cities.
        skip_bad: see :class:`testudo.data.streamed.Streamed`.

    Raises:
        TestudoError: one line naming the missing, damaged or mislabelled file, on use.

    >>> [(task.name, task.channels) for task in Cityscapes().tasks()]
    [('segmentation', 19), ('parts', 10), ('disparity', 1)]
    """

    root: str = ""
    preparation: str = "minmax"
    size: tuple[int, int] = (0, 0)
    wanted: tuple[str, ...] = ()
    val_share: float = 0.1
    seed: int = 0

    title: ClassVar[str] = "cityscapes"
    plausible: ClassVar[Range] = Range(1, 128, "pixels of disparity")

    def __post_init__(self) -> None:
        if self.preparation not in PREPARATIONS:
            raise unknown("preparation", self.preparation, PREPARATIONS)
        check_wanted("cityscapes", self.wanted, TASKS)
        share(1, self.val_share, "cityscapes: val_share")
        if self.size != (0, 0) and min(self.size) < 8:
            raise TestudoError(f"cityscapes: size must be height and width of at least 8 pixels, got {self.size}")

    @property
    def making(self) -> tuple[Derived, ...]:
        """The image, where it is wanted, and the derived tasks."""
        return (*([ImageLabel("image", loss_kind="l2")] if "image" in self._wanted else []), *self.derived)

    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Those of the preparation: Mao et al.'s, of the training images; one half, that brings them to [-1, 1]."""
        return PREPARATIONS[self.preparation].mean, PREPARATIONS[self.preparation].std

    def labelled(self) -> tuple[Task, ...]:
        """The wanted tasks."""
        tasks = (
            Segmentation("segmentation", classes=len(CLASSES), ignore=IGNORE, labels=tuple(CLASSES.values())),
            Segmentation("parts", classes=len(PARTS), ignore=IGNORE, labels=PARTS),
            Disparity("disparity"),
            Disparity("depth"),
        )
        return tuple(task for task in tasks if task.name in self._wanted)

    def shape(self) -> tuple[int, int]:
        """See :class:`testudo.data.streamed.Streamed`."""
        return PREPARATIONS[self.preparation].size if self.size == (0, 0) else self.size

    def layout(self) -> Mapping[str, tuple[int, ...]]:
        """See :class:`testudo.data.maps.Source`."""
        flat = {task.name: isinstance(task, Segmentation) for task in self.labelled()}
        return {name: self.shape() if classes else (1, *self.shape()) for name, classes in flat.items()}

    def listed(self, split: str) -> tuple[Sequence[str], str]:
        """See :class:`testudo.data.streamed.Streamed`."""
        part = "val" if split == "test" else "train"
        names = self._files.names(part, ("image", *self.layout()))
        if split == "test":
            return names, ""
        groups = [self._files.group(name) for name in names]
        numbers = {group: number for number, group in enumerate(sorted(set(groups)))}
        val = held_out(torch.tensor([numbers[group] for group in groups]), self.val_share, self.seed).tolist()
        chosen = sorted({group for group, held in zip(groups, val, strict=True) if held})
        note = f"val is {', '.join(chosen) or 'empty'}, held out of train (seed {self.seed})"
        return [name for name, held in zip(names, val, strict=True) if held == (split == "val")], note

    def picture(self, name: str) -> Path:
        """See :class:`testudo.data.streamed.Streamed`."""
        return self._files.path("image", name)

    def files(self, name: str) -> list[Path]:
        """See :class:`testudo.data.maps.Source`."""
        return list(dict.fromkeys(self._files.path(task, name) for task in self.layout()))

    def opened(self, name: str) -> Callable[[str], tuple[Path, Tensor]]:
        """See :class:`testudo.data.maps.Source`."""

        def target(task: str) -> tuple[Path, Tensor]:
            path = self._files.path(task, name)
            values = matching(path, self.picture(name), self.title, deep=task != "segmentation")
            pixels = nearest((values.shape[0], values.shape[1]), self.shape())
            if task == "segmentation":
                return path, torch.from_numpy(classes(path, values, pixels))
            if task == "parts":
                return path, torch.from_numpy(parts(path, values, pixels))
            found = values[pixels].astype(np.float32)
            found = found / 1000 if task == "depth" else (found - 1) / 256 * (self.shape()[1] / WIDTH)
            return path, torch.from_numpy(np.where(values[pixels] > 0, found, np.nan))[None]

        return target

    def depths(self, name: str) -> list[tuple[Path, Tensor]]:
        """See :class:`testudo.data.streamed.Streamed`; in pixels of 2048 x 1024."""
        if not {"disparity", "depth"} & set(self._wanted):
            return []
        path = self._files.path("disparity", name)
        values = matching(path, self.picture(name), self.title, deep=True).astype(np.float32)
        return [(path, torch.from_numpy(np.where(values > 0, (values - 1) / 256, np.nan)))]

    @property
    def _wanted(self) -> tuple[str, ...]:
        return self.wanted or PREPARATIONS[self.preparation].wanted

    @cached_property
    def _files(self) -> StreetFiles:
        return StreetFiles(place("cityscapes", self.root, "cityscapes", "leftImg8bit/ and gtFine/"))
