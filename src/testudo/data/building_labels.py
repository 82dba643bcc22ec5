"""What the label files of Taskonomy hold, as targets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from testudo.data.maps import IGNORE
from testudo.errors import TestudoError
from testudo.tasks.log_depth import STEPS, scaled

CLASSES = (
    "background", "bottle", "chair", "couch", "potted plant", "bed", "dining table", "toilet", "tv", "microwave",
    "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase",
)  # fmt: skip
TOO_FAR = 64_500  # steps of depth: no surface was hit
TOP = {"edges": 0.08, "occlusion": 0.00625, "keypoints2d": 0.005, "keypoints3d": 1.0}  # of the range of 16 bits
BLUR = 4 / 256  # of the height: standard deviation of the Gaussian that occlusion edges are smoothed with
CURVED = np.array([[123.572, 120.1], [31.922, 21.658]], np.float32)  # mean and deviation of the two channels
THIRDS = np.full(3, 1 / 765, np.float32)
LEAST = 0.5  # a normal this short or shorter is none


def classes(path: Path, values: np.ndarray) -> np.ndarray:
    """17 classes from labels 1 to 17; 255 from 0, "uncertain"; raises TestudoError for other labels."""
    wrong = values > len(CLASSES)
    if wrong.any():
        allowed = f"0 to {len(CLASSES)}, 0 for unknown"
        raise TestudoError(f"taskonomy: {str(path)!r}: label {values[wrong][0]} is out of range (allowed: {allowed})")
    return np.where(values > 0, values - 1, IGNORE).astype(np.uint8)


def metres(steps: np.ndarray) -> np.ndarray:
    """Distances of a 16-bit depth file, NaN where there is none."""
    return np.where(missing(steps), np.nan, steps / np.float32(STEPS))


def missing(steps: np.ndarray) -> np.ndarray:
    """Where a depth file holds no distance."""
    return (steps >= TOO_FAR) | (steps == 0)


def distance(steps: np.ndarray) -> np.ndarray:
    """Logarithmic depth, (1, H, W), from a 16-bit depth file."""
    return scaled(torch.from_numpy(metres(steps))).numpy()[None]


def strength(task: str, values: np.ndarray) -> np.ndarray:
    """Edges or keypoints, (1, H, W) in [0, 1], from their 16-bit file: clipped at their bound, and divided by it."""
    share = values / np.float32(65_535)
    if task == "occlusion":
        share = ndimage.gaussian_filter(share, BLUR * len(share))
    return (share / TOP[task]).clip(0, 1)[None]


def normal(colours: np.ndarray) -> np.ndarray:
    """Unit vectors, (3, H, W), from colours (H, W, 3) in which 127.5 is zero; NaN where they are too short for one."""
    vectors = (colours / np.float32(127.5) - 1).transpose(2, 0, 1)
    length = np.sqrt(np.square(vectors).sum(0))
    return np.where(length > LEAST, vectors / length.clip(LEAST), np.nan)


def reshading(colours: np.ndarray) -> np.ndarray:
    """Brightness, (1, H, W) in [0, 1], of a grey image (H, W, 3)."""
    return (colours.astype(np.float32) @ THIRDS)[None]


def curvature(colours: np.ndarray) -> np.ndarray:
    """The two principal curvatures, (2, H, W), standardised; they are red and green of the colours (H, W, 3)."""
    return ((colours[..., :2] - CURVED[0]) / CURVED[1]).transpose(2, 0, 1)
