"""ROBIN, or OOD-CV, from disk: ten kinds of object, and what has changed in the pictures of the test."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from testudo.data.dataset import DataSet, Examples, joined
from testudo.data.images import Files
from testudo.data.place import place
from testudo.data.splits import evenly, held_out, share
from testudo.data.streamed import name_id
from testudo.errors import TestudoError, unknown
from testudo.tasks.classification import Classification
from testudo.tasks.task import Task

OBJECTS = ("aeroplane", "bicycle", "boat", "bus", "car", "chair", "diningtable", "motorbike", "sofa", "train")
NUISANCES = ("shape", "pose", "texture", "context", "weather", "occlusion")  # in the order of the official script
ENDINGS = (".jpg", ".jpeg", ".png")
FOLDER = "ROBINv1.1-cls-pose"


class _Listed(NamedTuple):
    """The images of a part, in the order of their names."""

    files: list[Path]
    classes: list[int]
    part: str


@dataclass(frozen=True)
class ROBIN(DataSet):
    """ROBIN, later called OOD-CV (Zhao et al., ECCV 2022, https://arxiv.org/abs/2111.14341), for classification.

    Photographs from PASCAL3D+ (of PASCAL VOC 2012 and ImageNet) and the web, cut out around one object each. Task:
    ``object``, 10 classes, told by the folder. Train and ``iid_test`` are of one kind; in each of the six ``nuisances``
    one thing has changed. A nuisance may lack a class altogether: nobody dines in bad weather.

    The layout is that of the release for classification and pose, ``ROBINv1.1-cls-pose``, as the challenge's entries
    read it (https://github.com/wujiekd/ECCV2022-OOD-CV-Challenge-Classification-Track-2nd-USTC-IAT-United) and its
    official script names it (https://github.com/eccv22-ood-workshop/ROBIN-dataset, ``evaluation/cls``); the archives
    themselves were not at hand when this was written. What the first release of 2022 (``ROBIN-cls-train``) and the
    later challenges (numbered test images without public labels) held is not read. Neither are the ``labels.csv``,
    which repeat the class and add the angle of view (that of the i.i.d. test names some images twice)::

        train/Images/CLASS/*.jpg      iid_test/Images/CLASS/*.jpg      nuisances/NUISANCE/Images/CLASS/*.jpg

    Val is held out of train, about the same share of every class. Objects cut out of one photograph
    (``imagenet_aeroplane_n02690373_1119_0.jpg``, ``..._1.jpg``) stay together; whether a photograph is in both
    published parts is the publishers' affair, and a byte for byte copy is told by ``testudo data check``. Ids are 53
    bits of the SHA-256 of part, class and file name. Images are opened when asked for.

    Args:
        root: the folder of ``train``, ``iid_test`` and ``nuisances``, or the one that holds ``ROBINv1.1-cls-pose``,
            which is such; empty: ``robin`` in the folder named by TESTUDO_DATA, or in ``../shared/data``.
        size: height and width to which images are resized (bilinear, with antialiasing; proportions are not kept).
            GAT's paper has 256.
        test: what is tested on: ``"iid"``, one of the nuisances (shape, pose, texture, context, weather, occlusion), or
            ``"ood"``, all six of them.
        val_share: about this share of the training images is for validation.
        seed: decides which photographs.

    Raises:
        TestudoError: one line naming the folder or image that is missing or wrong, on use.

    >>> [(task.name, task.channels) for task in ROBIN().tasks()]
    [('object', 10)]
    """

    root: str = ""
    size: int = 64
    test: str = "iid"
    val_share: float = 0.1
    seed: int = 0

    tests: ClassVar[tuple[str, ...]] = ("iid", "ood", *NUISANCES)

    def __post_init__(self) -> None:
        if self.size < 8:
            raise TestudoError(f"robin: size must be at least 8 pixels, got {self.size}")
        if self.test not in self.tests:
            raise unknown("robin test", self.test, self.tests)
        share(1, self.val_share, "robin: val_share")

    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Those of a thousand training images, evenly spaced."""
        train = self.load("train")
        return train.take(evenly(1000, len(train))).statistics()

    def labelled(self) -> tuple[Task, ...]:
        """The object."""
        return (Classification("object", classes=len(OBJECTS), labels=OBJECTS),)

    def read(self, split: str) -> Examples:
        """The images of ``split``."""
        if split == "test":
            names = NUISANCES if self.test == "ood" else (self.test,)
            parts = [self._listed("iid_test" if name == "iid" else f"nuisances/{name}") for name in names]
            return self._made(parts, "all nuisances" if self.test == "ood" else self.test)
        listed = self._listed("train")
        val = self._val(listed)
        if split == "val" and not val.any():
            raise TestudoError(f"robin: no val examples: val_share is {self.val_share:g}")
        note = f"{int(val.sum()):,} training images held out as val" if split == "val" else ""
        return self._made([listed], note).take((val if split == "val" else ~val).nonzero()[:, 0])

    def _made(self, parts: list[_Listed], note: str) -> Examples:
        files = [file for part in parts for file in part.files]
        images = Files(tuple(files), ("robin",) * len(files), (3, self.size, self.size), resize=True)
        classes = torch.tensor([number for part in parts for number in part.classes], dtype=torch.int64)
        names = [f"{part.part}/{file.parent.name}/{file.name}" for part in parts for file in part.files]
        ids = torch.tensor([name_id(name) for name in names], dtype=torch.int64)
        return Examples(images, {"object": classes}, ids, joined(note, f"resized to {self.size}x{self.size}"))

    def _val(self, listed: _Listed) -> Tensor:
        """(N,) bool, drawn class by class: whole photographs."""
        classes = torch.tensor(listed.classes)
        numbers: dict[str, int] = {}
        photographs = [numbers.setdefault(re.sub(r"_\d+$", "", file.stem), len(numbers)) for file in listed.files]
        val = torch.zeros(len(classes), dtype=torch.bool)
        for number in range(len(OBJECTS)):
            rows = (classes == number).nonzero()[:, 0]
            val[rows] = held_out(torch.tensor(photographs)[rows], self.val_share, self.seed)
        return val

    @cached_property
    def _folder(self) -> Path:
        root = place("robin", self.root, "robin", "train, iid_test and nuisances")
        return root / FOLDER if (root / FOLDER).is_dir() else root

    def _listed(self, part: str) -> _Listed:
        """The images of a published part; raises TestudoError where there are none, or a folder of no known class."""
        folder = self._folder / part / "Images"
        if not folder.is_dir():
            raise TestudoError(f"robin: no folder {str(folder)!r}")
        files: list[Path] = []
        for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
            if inner.name not in OBJECTS:
                raise TestudoError(f"robin: {folder}: {unknown('class', inner.name, OBJECTS)}")
            files += sorted(path for path in inner.iterdir() if path.suffix.lower() in ENDINGS)
        if not files:
            raise TestudoError(f"robin: no images in {str(folder)!r}")
        return _Listed(files, [OBJECTS.index(file.parent.name) for file in files], part)
