import pytest
import torch

from testudo.data.derived import Relabel
from testudo.data.pixel_labels import CannyLabel, HarrisLabel, HogLabel, ImageLabel, OcclusionLabel, SobelLabel
from testudo.errors import TestudoError
from testudo.registry import DERIVED
from testudo.tasks.classification import Classification
from testudo.tasks.depth import Depth, Disparity
from testudo.tasks.maps import HOG, Autoencoder, Edges, Keypoints
from testudo.tasks.regression import Regression

DIGIT = Classification("digit", classes=10)
PARITY = Relabel("parity", "digit", ((0, 2, 4, 6, 8), (1, 3, 5, 7, 9)), ("even", "odd"))


def test_unknown_and_ungrouped_have_no_label():
    small = Relabel("small", "digit", ((0, 1), (2,)), ("few", "two"))
    assert small.targets(torch.tensor([0, 1, 2, 3, 9, -1])).tolist() == [0, 0, 1, -1, -1, -1]
    assert small.targets(torch.tensor([], dtype=torch.int64)).tolist() == []


def test_parity_is_the_remainder():
    digits = torch.arange(10)
    assert torch.equal(PARITY.targets(digits), digits % 2)


def test_task_has_the_groups_as_classes():
    task = PARITY.task(DIGIT)
    assert (task.name, task.classes, task.labels) == ("parity", 2, ("even", "odd"))
    task.check(PARITY.targets(torch.tensor([-1, 3])))


@pytest.mark.parametrize(
    ("groups", "labels", "words"),
    [
        (((0, 1),), ("a",), "two or more groups"),
        (((0,), (1,)), ("a",), "a label for each"),
        (((0, 1), (1, 2)), ("a", "b"), "class 1 is in two groups"),
        (((0,), (-1,)), ("a", "b"), "classes count from 0"),
    ],
)
def test_groups_that_make_no_task(groups, labels, words):
    with pytest.raises(TestudoError, match=words):
        Relabel("x", "digit", groups, labels)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (Regression("digit"), "no classification"),
        (None, "no classification"),
        (Classification("digit", classes=9), "class 9 is out"),
    ],
)
def test_sources_that_do_not_fit(source, words):
    with pytest.raises(TestudoError, match=words):
        PARITY.task(source)


KINDS = {
    "image": (ImageLabel("new", "l2", channels=1), Autoencoder, 1),
    "sobel": (SobelLabel("new", "l2"), Edges, 1),
    "canny": (CannyLabel("new", "l2", sigma=0.5, low=0.02, high=0.04), Edges, 1),
    "harris": (HarrisLabel("new", "l2"), Keypoints, 1),
    "hog": (HogLabel("new", "l2", cell=4), HOG, 9),
}


def test_every_registered_kind_is_here():
    assert set(DERIVED.names()) == {*KINDS, "relabel", "occlusion"}


@pytest.mark.parametrize(("how", "kind", "channels"), KINDS.values(), ids=KINDS)
def test_labels_of_images_fit_their_task(how, kind, channels):
    images = torch.rand(5, 1, 12, 17, generator=torch.Generator().manual_seed(0))
    task, labels = how.task(None), how.targets(images)
    assert isinstance(task, kind)
    assert (task.name, task.loss_kind, task.channels) == ("new", "l2", channels)
    assert labels.dtype == torch.float32
    assert labels.shape == (5, channels, 12, 17)
    assert 0.001 < labels.mean() < 0.9
    task.check(labels)
    assert task.valid(labels).all()
    assert torch.equal(torch.cat([how.targets(image[None]) for image in images]), labels)
    if not isinstance(how, ImageLabel):
        assert torch.equal(how.finish(how.find(images).half(), (12, 17)), labels)


def test_occlusion_is_of_depth_or_of_disparity():
    metres = torch.rand(3, 1, 6, 7, generator=torch.Generator().manual_seed(0)) + 0.5
    metres[0, 0, 2, 2] = torch.nan
    far, near = OcclusionLabel("new"), OcclusionLabel("new", source="disparity", disparity=True)
    found = far.targets(metres)
    torch.testing.assert_close(found, near.targets(1 / metres), equal_nan=True)
    assert found.isnan().sum() == 1
    assert far.origin == "depth"
    for how, task in ((far, Depth("depth")), (near, Disparity("disparity"))):
        assert isinstance(how.task(task), Edges)
        how.task(task).check(found)


@pytest.mark.parametrize(
    ("how", "source", "words"),
    [
        (OcclusionLabel("x"), Disparity("depth"), "disparity = false wants a depth task; its source 'depth' is none"),
        (OcclusionLabel("x", disparity=True), Depth("depth"), "disparity = true wants a disparity task"),
        (OcclusionLabel("x", source="digit"), DIGIT, "wants a depth task; its source 'digit' is none"),
    ],
)
def test_occlusion_of_something_else(how, source, words):
    with pytest.raises(TestudoError, match=words):
        how.task(source)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SobelLabel("x", "l3"), "unknown loss_kind 'l3'"),
        (lambda: CannyLabel("x", low=0.2), "sigma must be at least 0, and 0 <= low <= high, got 1.0, 0.2 and 0.1"),
        (lambda: CannyLabel("x", sigma=-1.0), "sigma must be at least 0"),
        (lambda: HarrisLabel("x", sigma=0.0), "sigma must be above 0"),
        (lambda: HarrisLabel("x", k=0.25), "0 <= k < 0.25"),
        (lambda: HogLabel("x", cell=0), "cell must be at least 1 pixel, got 0"),
        (lambda: ImageLabel("x").fits(1), "channels is 3, but the images have 1"),
    ],
)
def test_settings_that_make_no_label(make, words):
    with pytest.raises(TestudoError, match=words):
        make()
