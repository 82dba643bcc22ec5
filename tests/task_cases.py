"""Every registered task, with labels and predictions of each."""

from __future__ import annotations

import torch

from testudo.tasks.classification import Classification, MultiLabel
from testudo.tasks.contrast import Contrast
from testudo.tasks.depth import Depth, Disparity
from testudo.tasks.log_depth import LogDepth
from testudo.tasks.maps import HOG, Autoencoder, Curvature, Edges, Keypoints, Map, Reshading
from testudo.tasks.normals import Normals
from testudo.tasks.regression import Regression
from testudo.tasks.segmentation import Segmentation

CASES = {
    "classification": Classification("t", classes=4),
    "classification-binary": Classification("t", classes=4, loss_kind="binary"),
    "multilabel": MultiLabel("t", labels=("a", "b", "c")),
    "regression": Regression("t", mean=3.0, std=2.0),
    "regression-l2": Regression("t", outputs=2, loss_kind="l2", mean=-1.0, std=0.5),
    "segmentation": Segmentation("t", classes=4),
    "segmentation-weighted": Segmentation("t", classes=4, class_weights=(0.5, 3.0, 1.0, 2.0)),
    "depth": Depth("t"),
    "disparity": Disparity("t"),
    "log_depth": LogDepth("t"),
    "normals": Normals("t"),
    "normals-cosine": Normals("t", loss_kind="cosine"),
    "reshading": Reshading("t"),
    "curvature": Curvature("t"),
    "curvature-l2": Curvature("t", loss_kind="l2"),
    "edges": Edges("t"),
    "keypoints": Keypoints("t"),
    "autoencoder": Autoencoder("t", channels=2, loss_kind="l2"),
    "hog": HOG("t", bins=5),
}

PAIRED = {"contrast": Contrast("t")}  # whose examples know each other: they have tests of their own


def labels(task, n=12, unknown=True, seed=0):
    """Labels of which the second is unknown and the third half known."""
    g = torch.Generator().manual_seed(seed)
    if task.dense:
        return maps(task, n, unknown, g)
    if isinstance(task, Classification):
        target = torch.randint(0, task.classes, (n,), generator=g)
        if unknown:
            target[1] = -1
        return target
    shape = (n, task.channels)
    target = (
        torch.randint(0, 2, shape, generator=g).float()
        if isinstance(task, MultiLabel)
        else torch.randn(shape, generator=g)
    )
    if unknown:
        target[1] = torch.nan
        if task.channels > 1:
            target[2, 0] = torch.nan
    return target


def maps(task, n, unknown, generator):
    """The labels of 3 x 4 pixels."""
    shape, nothing = (n, task.channels, 3, 4), torch.nan
    if isinstance(task, Segmentation):
        target, nothing = torch.randint(0, task.classes, (n, 3, 4), generator=generator), task.ignore
    elif isinstance(task, Normals):
        target = task.as_label(torch.randn(shape, generator=generator))
    elif isinstance(task, Curvature):
        target = torch.randn(shape, generator=generator) * 3
    elif isinstance(task, Map | LogDepth):
        target = torch.rand(shape, generator=generator)
    else:
        target = torch.rand(shape, generator=generator) * 9 + 1
    if unknown:
        target[1], target[2, ..., :2] = nothing, nothing
        if not isinstance(task, Segmentation):
            target[3, -1, 0, 0] = nothing  # of several channels one
    return target


def outputs(task, n=12, seed=0, dtype=torch.float32):
    shape = (n, task.channels, 3, 4) if task.dense else (n, task.channels)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)
