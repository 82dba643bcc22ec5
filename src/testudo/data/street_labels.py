"""What the label files of Cityscapes hold, as classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from testudo.data.maps import IGNORE
from testudo.data.resize import Pixels
from testudo.errors import TestudoError

CLASSES = {  # by their id in the files; all other ids, up to 33, are void
    7: "road", 8: "sidewalk", 11: "building", 12: "wall", 13: "fence", 17: "pole", 19: "traffic light",
    20: "traffic sign", 21: "vegetation", 22: "terrain", 23: "sky", 24: "person", 25: "rider", 26: "car", 27: "truck",
    28: "bus", 31: "train", 32: "motorcycle", 33: "bicycle",
}  # fmt: skip
PARTS = (
    "background", "torso", "head", "arms", "legs", "windows", "wheels", "lights", "license plate", "chassis",
)  # fmt: skip
HUMANS, VEHICLES = (24, 25), (26, 27, 28)  # persons and riders have parts 1 to 4; cars, trucks and buses 1 to 5
HIGHEST = max(CLASSES)


def classes(path: Path, values: np.ndarray, pixels: Pixels) -> np.ndarray:
    """The 19 classes, or 255, at ``pixels`` of a map of ids 0 to 33 or, in a ``labelTrainIds`` file, of classes.

    Raises:
        TestudoError: any pixel of the map has another value.
    """
    ids = np.arange(len(CLASSES)) if "TrainIds" in path.name else np.array([*CLASSES])
    wrong = (values > ids[-1]) & (values != IGNORE)
    if wrong.any():
        allowed = f"0 to {ids[-1]}, or {IGNORE} for unknown"
        raise TestudoError(f"cityscapes: {str(path)!r}: label {values[wrong][0]} is out of range (allowed: {allowed})")
    table = np.full(256, IGNORE, np.uint8)
    table[ids] = np.arange(len(ids))
    return table[values[pixels]]


def parts(path: Path, values: np.ndarray, pixels: Pixels) -> np.ndarray:
    """The 10 parts at ``pixels`` of a map of Cityscapes Panoptic Parts; all that is no part is background.

    Its numbers have up to 7 digits: 1 or 2 are an id of :data:`CLASSES`, then come 3 of the instance, then 2 of the
    part. Part 0 is void; a part 5 of a person, which a few files have, is a slip of theirs: both become background.

    Raises:
        TestudoError: a pixel has a number that is not made like this.
    """
    found = values[pixels]
    for each in (np.array([values.min(), values.max()]), found):
        kind, _ = _split(each)
        wrong = (each < 0) | ((each > 99) & (each < 1000)) | (kind > HIGHEST)
        if wrong.any():
            what = f"{each[wrong][0]} is no number of a class, an instance and a part"
            raise TestudoError(f"cityscapes: {str(path)!r}: {what}")
    kind, part = _split(found)
    human, vehicle = np.isin(kind, HUMANS) & (part <= 4), np.isin(kind, VEHICLES) & (part <= 5)
    return np.where((human | vehicle) & (part > 0), part + 4 * vehicle, 0).astype(np.uint8)


def _split(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The class and the part, 0 where there is none, of numbers of up to 7 digits."""
    wide = numbers.astype(np.int64)
    kind = np.where(wide > 99_999, wide // 100_000, np.where(wide > 99, wide // 1000, wide))
    return kind, np.where(wide > 99_999, wide % 100, 0)
