"""Embedded data: rendered rooms with exact labels for every dense task."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from testudo.data.cache import cached
from testudo.data.dataset import DataSet, Examples
from testudo.data.derived import Derived
from testudo.data.images import Stored
from testudo.data.maps import IGNORE
from testudo.data.nyuv2_files import CLASSES
from testudo.data.pixel_labels import HarrisLabel, ImageLabel, SobelLabel
from testudo.data.rooms.labels import LABELS
from testudo.data.rooms.patterns import atlas
from testudo.data.rooms.plan import room
from testudo.data.rooms.render import render
from testudo.data.rooms.shading import Lit
from testudo.data.rooms.surfaces import PARTS
from testudo.data.rooms.views import view
from testudo.errors import TestudoError, unknown
from testudo.tasks.depth import Depth, Disparity
from testudo.tasks.maps import Curvature, Edges, Keypoints, Reshading
from testudo.tasks.normals import Normals
from testudo.tasks.segmentation import Segmentation
from testudo.tasks.task import Task

VERSION = 1  # of the renderer: another one where any pixel or label of any view changes
VIEWS = 1000  # of a room, at most: ids count rooms in thousands

RENDERED: tuple[Task, ...] = (
    Segmentation("segmentation", classes=len(CLASSES), ignore=IGNORE, labels=CLASSES),
    Segmentation("parts", classes=len(PARTS), ignore=IGNORE, labels=PARTS),
    Depth("depth"),
    Depth("euclidean"),
    Disparity("disparity"),
    Normals("normal"),
    Reshading("reshading"),
    Curvature("curvature"),
    Edges("occlusion"),
    Keypoints("keypoints3d"),
)
FROM_IMAGE: tuple[Derived, ...] = (SobelLabel("edges"), HarrisLabel("keypoints2d"), ImageLabel("image"))
TASKS = tuple(part.name for part in (*RENDERED, *FROM_IMAGE))


@dataclass(frozen=True)
class Scenes(DataSet):
    """Rendered rooms, furnished, textured and lit, with exact labels; made on first use, then kept on disk.

    A room is a bedroom, a living room, a study or a dining room of planes, boxes, balls and tubes; each has ``views``
    cameras at the height of a person's eyes. No room is in two splits. An image is a function of ``seed``, its room
    and its view alone, and so is its id: 1000 times the number of the room, plus that of the view; a split's rooms
    are every third one. Labels are those of the ray through the middle of a pixel; colours are averages around it.

    Tasks, of which only the ``wanted`` ones are made:

    - ``segmentation``, 13 classes, named and ordered as NYUv2's (doors are wall, curtains window, rugs floor, lamps and
      pillows objects, as there); ``parts``, 10 classes (shell, body, board, leg, ...);
    - ``depth``, metres along the optical axis; ``euclidean``, metres from the camera; ``disparity``, 1 over depth;
    - ``normal``, as of NYUv2: x to the right, y down, z away from the camera; they point to it;
    - ``reshading``, ``curvature`` (1/m), ``occlusion``, ``keypoints3d``: see :mod:`testudo.data.rooms.labels`;
    - ``edges``, ``keypoints2d`` and ``image``, from the image: see :mod:`testudo.data.pixel_labels`.

    Args:
        size: height and width in pixels. The same view at another size shows the same scene.
        rooms: how many rooms train, val and test have.
        views: how many images of each room, 1 to 1000.
        wanted: the tasks.
        supersample: colours are sampled on a grid this many times as fine as the pixels, 1 to 8.
        seed: decides all rooms and views.

    >>> few = Scenes(size=(24, 32), rooms=(2, 1, 1), views=2)
    >>> train = few.load("train")
    >>> train.ids.tolist(), train.targets["depth"].shape
    ([0, 1, 3000, 3001], torch.Size([4, 1, 24, 32]))
    """

    size: tuple[int, int] = (96, 128)
    rooms: tuple[int, int, int] = (64, 16, 24)
    views: int = 5
    wanted: tuple[str, ...] = ("segmentation", "depth", "normal")
    supersample: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.size) < 8:
            raise TestudoError(f"scenes: size must be height and width of at least 8 pixels, got {self.size}")
        if min(self.rooms) < 1:
            raise TestudoError(f"scenes: rooms must be at least one each for train, val and test, got {self.rooms}")
        for name, value, most in (("views", self.views, VIEWS), ("supersample", self.supersample, 8)):
            if not 1 <= value <= most:
                raise TestudoError(f"scenes: {name} must be 1 to {most}, got {value}")
        for name in self.wanted:
            if name not in TASKS:
                raise unknown("scenes task", name, TASKS)
            if self.wanted.count(name) > 1:
                raise TestudoError(f"scenes: wanted names {name!r} twice")
        if not self.wanted:
            raise TestudoError(f"scenes: wanted must name at least one task (allowed: {', '.join(sorted(TASKS))})")

    @property
    def making(self) -> tuple[Derived, ...]:
        """The wanted tasks that are made from the image, and the derived ones."""
        return (*(how for how in FROM_IMAGE if how.name in self.wanted), *self.derived)

    def labelled(self) -> tuple[Task, ...]:
        """The wanted tasks that come with the scene."""
        return tuple(task for task in RENDERED if task.name in self.wanted)

    def read(self, split: str) -> Examples:
        """The examples of ``split``, rendered, or as they were rendered before."""
        names = [task.name for task in self.labelled()]
        part = self.splits.index(split)
        told = (self.seed, part, self.rooms[part], self.views, *self.size, self.supersample)
        kept = cached(("scenes", VERSION, *told, *names), partial(self._rendered, part, names))
        ids = 1000 * self._numbers(part).repeat_interleave(self.views) + torch.arange(self.views).repeat(
            self.rooms[part]
        )
        note = f"rendered rooms, seed {self.seed}"
        return Examples(Stored(kept["image"]), {name: kept[name] for name in names}, ids, note)

    def _numbers(self, part: int) -> Tensor:
        """The rooms of a split: every third."""
        return 3 * torch.arange(self.rooms[part]) + part

    def _rendered(self, part: int, names: list[str]) -> dict[str, Tensor]:
        """Images and labels of a split; several rooms at a time, each by itself."""
        numbers = self._numbers(part).tolist()
        count = len(numbers) * self.views
        out: dict[str, np.ndarray] = {"image": np.empty((count, 3, *self.size), np.uint8)}
        channels = {task.name: task.channels for task in self.labelled() if not isinstance(task, Segmentation)}
        for name in names:
            shape = (channels[name], *self.size) if name in channels else self.size
            out[name] = np.empty((count, *shape), LABELS[name][1])
        atlas()  # before the threads, which would each paint it
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            list(pool.map(lambda row: self._room(numbers[row], row * self.views, out), range(len(numbers))))
        return {name: torch.from_numpy(values) for name, values in out.items()}

    def _room(self, number: int, start: int, out: dict[str, np.ndarray]) -> None:
        """All views of one room, into the rows of ``out`` from ``start`` on."""
        lit = Lit.of(room(self.seed, number))
        for index in range(self.views):
            frame = render(lit, view(lit.room, self.seed, number, index), self.size, self.supersample)
            out["image"][start + index] = frame.image
            for name in out.keys() - {"image"}:
                out[name][start + index] = LABELS[name][0](frame)
