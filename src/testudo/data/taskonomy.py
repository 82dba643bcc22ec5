"""Taskonomy from disk: eleven maps of indoor views, split by building."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from testudo.data.building_files import BuildingFiles
from testudo.data.building_labels import (
    CLASSES,
    classes,
    curvature,
    distance,
    metres,
    missing,
    normal,
    reshading,
    strength,
)
from testudo.data.derived import Derived
from testudo.data.maps import IGNORE
from testudo.data.pixel_labels import ImageLabel
from testudo.data.place import place
from testudo.data.plausible import Range
from testudo.data.resize import coloured, matching, nearest
from testudo.data.splits import held_out, share
from testudo.data.streamed import Streamed, check_wanted
from testudo.errors import TestudoError, unknown
from testudo.tasks.log_depth import LogDepth
from testudo.tasks.maps import Curvature, Edges, Keypoints, Reshading
from testudo.tasks.normals import Normals
from testudo.tasks.segmentation import Segmentation
from testudo.tasks.task import Task

TINY = {  # the tiny split of https://github.com/StanfordVL/taskonomy/tree/master/data
    "train": (
        "allensville", "beechwood", "benevolence", "coffeen", "cosmos", "forkland", "hanson", "hiteman", "klickitat",
        "lakeville", "leonardo", "lindenwood", "marstons", "merom", "mifflinburg", "newfields", "onaga", "pinesdale",
        "pomaria", "ranchester", "shelbyville", "stockman", "tolstoy", "wainscott", "woodbine",
    ),
    "val": ("collierville", "corozal", "darden", "markleeville", "wiconisco"),
    "test": ("ihlen", "mcdade", "muleshoe", "noxapater", "uvalda"),
}  # fmt: skip
DOMAINS = {
    "segmentation": "segment_semantic", "depth": "depth_zbuffer", "euclidean": "depth_euclidean", "normal": "normal",
    "reshading": "reshading", "curvature": "principal_curvature", "edges": "edge_texture",
    "occlusion": "edge_occlusion", "keypoints2d": "keypoints2d", "keypoints3d": "keypoints3d", "image": "rgb",
}  # fmt: skip
MASK = "depth_euclidean"  # where it is invalid, so are all maps that were rendered from the mesh
MASKED = ("depth", "euclidean", "normal", "reshading", "curvature", "occlusion", "keypoints3d")
COLOURED = {"normal": normal, "reshading": reshading, "curvature": curvature}


@dataclass(frozen=True)
class Taskonomy(Streamed):
    """Taskonomy (Zamir et al. 2018): 11 maps for each view into 35 buildings (tiny split), or of whatever is there.

    Prepared as by Mao et al. (2020), whose code takes it from Zamir et al.; v is the value of a 16-bit file over
    65535. Tasks: ``segmentation`` (17 classes; the files' 0, "uncertain", is unknown), ``depth`` and ``euclidean``
    (z-buffer and distance in steps of 1/512 m, logarithmic: :class:`testudo.tasks.log_depth.LogDepth`; 0 and 64500
    and more are unknown), ``normal`` (axes and signs of the files: red across, green along the height), ``reshading``
    (in [0, 1]), ``curvature`` (standardised), ``edges`` (of texture, v up to 0.08), ``occlusion`` (edges; v smoothed
    by a Gaussian of 4 pixels in 256, up to 0.00625), ``keypoints2d`` (v up to 0.005), ``keypoints3d`` (v), all of
    these clipped and divided by that bound, and ``image`` (an autoencoder). Where ``depth_euclidean`` is invalid so
    are depths, normals, reshading, curvature, occlusion and keypoints3d; that file is read for each of these.

    A view is ``BUILDING/DOMAIN/point_P_view_V_domain_DOMAIN.png``; two other orders of folders are read as well, see
    :class:`testudo.data.building_files.BuildingFiles`. (Mao et al. split one building by point; here no building is
    in two splits.)

    Args:
        root: the folder of buildings, or of domains; empty: ``taskonomy`` in the folder named by TESTUDO_DATA, or in
            ``../shared/data``.
        buildings: ``"tiny"``: the 25, 5 and 5 of the published tiny split, as far as they are here, no others;
            ``"drawn"``: all there are, drawn by ``seed``.
        size: height and width in pixels.
        wanted: the tasks whose labels are read; empty: all. What is not wanted need not be there.
        val_share, test_share: shares of the buildings, where they are drawn.
        seed: decides which.
        skip_bad: see :class:`testudo.data.streamed.Streamed`.

    Raises:
        TestudoError: one line naming the missing, damaged or mislabelled file, on use.

    >>> [task.name for task in Taskonomy(wanted=("depth", "normal", "image")).tasks()]
    ['depth', 'normal', 'image']
    """

    root: str = ""
    buildings: str = "tiny"
    size: tuple[int, int] = (256, 256)
    wanted: tuple[str, ...] = ()
    val_share: float = 0.15
    test_share: float = 0.15
    seed: int = 0

    title: ClassVar[str] = "taskonomy"
    plausible: ClassVar[Range] = Range(0.2, 40, "m")

    def __post_init__(self) -> None:
        if self.buildings not in ("tiny", "drawn"):
            raise unknown("choice of buildings", self.buildings, ("tiny", "drawn"))
        check_wanted("taskonomy", self.wanted, DOMAINS)
        for name, fraction in (("val_share", self.val_share), ("test_share", self.test_share)):
            share(1, fraction, f"taskonomy: {name}")
        if min(self.size) < 8:
            raise TestudoError(f"taskonomy: size must be height and width of at least 8 pixels, got {self.size}")

    @property
    def making(self) -> tuple[Derived, ...]:
        """The image, where it is wanted, and the derived tasks."""
        return (*([ImageLabel("image")] if "image" in self._wanted else []), *self.derived)

    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """One half: the models of the paper, and Mao et al.'s, take images in [-1, 1]."""
        return (0.5,) * 3, (0.5,) * 3

    def labelled(self) -> tuple[Task, ...]:
        """The wanted tasks."""
        tasks = (
            Segmentation("segmentation", classes=len(CLASSES), ignore=IGNORE, labels=CLASSES),
            *(LogDepth(name) for name in ("depth", "euclidean")),
            Normals("normal"),
            Reshading("reshading"),
            Curvature("curvature"),
            *(Edges(name) for name in ("edges", "occlusion")),
            *(Keypoints(name) for name in ("keypoints2d", "keypoints3d")),
        )
        return tuple(task for task in tasks if task.name in self._wanted)

    def shape(self) -> tuple[int, int]:
        """See :class:`testudo.data.streamed.Streamed`."""
        return self.size

    def layout(self) -> Mapping[str, tuple[int, ...]]:
        """See :class:`testudo.data.maps.Source`."""
        tasks = self.labelled()
        return {t.name: self.size if isinstance(t, Segmentation) else (t.channels, *self.size) for t in tasks}

    def listed(self, split: str) -> tuple[Sequence[str], str]:
        """See :class:`testudo.data.streamed.Streamed`."""
        chosen, note = self._tiny(split) if self.buildings == "tiny" else self._drawn(split)
        domains = dict.fromkeys(["rgb", *(DOMAINS[task] for task in self.layout()), *self._mask])
        return [name for building in chosen for name in self._files.names(building, domains)], note

    def picture(self, name: str) -> Path:
        """See :class:`testudo.data.streamed.Streamed`."""
        return self._files.path("rgb", name)

    def files(self, name: str) -> list[Path]:
        """See :class:`testudo.data.maps.Source`."""
        domains = dict.fromkeys([*(DOMAINS[task] for task in self.layout()), *self._mask])
        return [self._files.path(domain, name) for domain in domains]

    def opened(self, name: str) -> Callable[[str], tuple[Path, Tensor]]:
        """See :class:`testudo.data.maps.Source`."""
        picture = self.picture(name)

        def whole(domain: str) -> np.ndarray:
            path = self._files.path(domain, name)
            if domain in (DOMAINS[task] for task in COLOURED):
                return coloured(path, picture, self.title)
            return matching(path, picture, self.title, deep=domain != DOMAINS["segmentation"])

        def resized(values: np.ndarray) -> np.ndarray:
            return values[nearest((values.shape[0], values.shape[1]), self.size)]

        @cache
        def read(domain: str) -> np.ndarray:
            return resized(whole(domain))

        def target(task: str) -> tuple[Path, Tensor]:
            path = self._files.path(DOMAINS[task], name)
            if task == "segmentation":
                return path, torch.from_numpy(resized(classes(path, whole(DOMAINS[task]))))
            values = read(DOMAINS[task])
            if task in COLOURED:
                found = COLOURED[task](values)
            else:
                found = distance(values) if task in ("depth", "euclidean") else strength(task, values)
            if task in MASKED:
                found[:, missing(read(MASK))] = np.nan
            return path, torch.from_numpy(found)

        return target

    def depths(self, name: str) -> list[tuple[Path, Tensor]]:
        """See :class:`testudo.data.streamed.Streamed`."""
        paths = [self._files.path(DOMAINS[task], name) for task in ("depth", "euclidean") if task in self._wanted]
        steps = [matching(path, self.picture(name), self.title, deep=True) for path in paths]
        return [(path, torch.from_numpy(metres(values))) for path, values in zip(paths, steps, strict=True)]

    @property
    def _wanted(self) -> tuple[str, ...]:
        return self.wanted or tuple(DOMAINS)

    @property
    def _mask(self) -> tuple[str, ...]:
        return (MASK,) if set(MASKED) & set(self._wanted) else ()

    @cached_property
    def _files(self) -> BuildingFiles:
        return BuildingFiles(place("taskonomy", self.root, "taskonomy", "buildings"))

    def _tiny(self, split: str) -> tuple[list[str], str]:
        here = self._files.buildings()
        listed = {name for names in TINY.values() for name in names}
        chosen = [name for name in TINY[split] if name in here]
        if not listed & set(here):
            found = f"{len(here)} others" if here else "no others"
            hint = "buildings = 'drawn' splits what is there" if here else "root must be the folder of buildings"
            raise TestudoError(
                f"taskonomy: no building of the tiny split in {str(self._files.root)!r}, but {found}; {hint}"
            )
        others = len(set(here) - listed)
        note = f"{len(chosen)} of the {len(TINY[split])} {split} buildings of the tiny split"
        return chosen, f"{note}, {others} others left out" if others else note

    def _drawn(self, split: str) -> tuple[list[str], str]:
        names = self._files.buildings()
        test = held_out(torch.arange(len(names)), self.test_share, self.seed)
        rest = [name for name, held in zip(names, test.tolist(), strict=True) if not held]
        val = held_out(torch.arange(len(rest)), self.val_share * len(names) / max(len(rest), 1), self.seed)
        held = {name for name, chosen in zip(rest, val.tolist(), strict=True) if chosen}
        parts = {
            "test": [name for name in names if name not in rest],
            "val": sorted(held),
            "train": [name for name in rest if name not in held],
        }
        told = "; ".join(f"{part} is {', '.join(parts[part]) or 'empty'}" for part in ("val", "test"))
        return parts[split], f"split by building (seed {self.seed}): {told}"
