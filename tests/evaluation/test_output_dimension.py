from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from testudo.attacks.fgsm import FGSM
from testudo.attacks.noise import Noise
from testudo.attacks.objective import Objective
from testudo.attacks.pgd import PGD
from testudo.attacks.surrogates import Margin
from testudo.attacks.threat import Linf
from testudo.data.batch import Batch
from testudo.errors import TestudoError
from testudo.evaluation.evaluate import Evaluation
from testudo.evaluation.theory.gradients import task_gradients
from testudo.evaluation.theory.means import averaged
from testudo.evaluation.theory.output_dimension import CLEAN, MEAN, OUTPUT_DIMENSION, PIXELS, SUM, OutputDimension
from testudo.models.encoder import seeded
from testudo.models.wrap import wrap
from testudo.tasks.classification import Classification
from testudo.tasks.depth import Depth
from testudo.tasks.segmentation import Segmentation

SIDE = 6
ALL = SIDE * SIDE
ROOMS, METRES = Segmentation("rooms", classes=3), Depth("metres")
ALONE = Evaluation(batch_size=1, precision="float32")


class Pixelwise(nn.Module):
    """Every output pixel sees its own input pixel alone."""

    def __init__(self):
        super().__init__()
        with seeded(0):
            self.conv = nn.Conv2d(2, 3, 1)

    def forward(self, x):
        return self.conv(x)


class Pooled(Pixelwise):
    """Every output pixel is the same: that of the mean image."""

    def forward(self, x):
        return self.conv(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[2:])


class Mixed(nn.Module):
    """A few convolutions, with a class and a depth for every pixel."""

    def __init__(self):
        super().__init__()
        with seeded(1):
            self.body, self.head = nn.Conv2d(2, 6, 3, padding=1), nn.Conv2d(6, 4, 3, padding=1)

    def forward(self, x):
        y = self.head(self.body(2 * x - 1).tanh())
        return {"rooms": 4 * y[:, :3], "metres": 2 + y[:, 3:]}


def mixed():
    return wrap(Mixed(), [ROOMS, METRES])


def data(n=4, unknown=False):
    g = torch.Generator().manual_seed(2)
    labels = torch.randint(0, 3, (n, SIDE, SIDE), generator=g)
    metres = 1 + torch.rand(n, 1, SIDE, SIDE, generator=g)
    if unknown:
        labels[0, 1:] = 255
        labels[1] = 255
        metres[:, :, :3] = torch.nan
    images = torch.rand(n, 2, SIDE, SIDE, generator=g)
    return Batch(images, {"rooms": labels, "metres": metres}, torch.arange(n) * 5 + 2)


def even(n=2):
    """One colour and one class all over."""
    labels = torch.zeros(n, SIDE, SIDE, dtype=torch.int64)
    return Batch(torch.full((n, 2, SIDE, SIDE), 0.5), {"rooms": labels})


def curve(rows, measure, attack=""):
    """Dimension -> mean over examples."""
    means = averaged(rows.filter(measure=measure, attack=attack), resamples=2)
    return dict(means.select("dimension", "value").iter_rows())


def test_independent_pixels_fall_by_the_mean_alone():
    """Gradients of different pixels are orthogonal and of equal length: the closed forms of the corollary."""
    rows = OutputDimension(draws=3, points=5)(wrap(Pixelwise(), [ROOMS]), even())
    mean, total = curve(rows, MEAN), curve(rows, SUM)
    assert list(mean) == [1, 2, 6, 15, 36]
    for d in mean:
        assert mean[d] == pytest.approx(mean[1] / d**0.5, rel=1e-5)
        assert total[d] == pytest.approx(mean[1] * d**0.5, rel=1e-5)


def test_equal_pixels_do_not_fall_at_all():
    rows = OutputDimension(draws=2, dimensions=(1, 7, ALL))(wrap(Pooled(), [ROOMS]), even())
    mean, total = curve(rows, MEAN), curve(rows, SUM)
    assert list(mean.values()) == pytest.approx([mean[1]] * 3, rel=1e-5)
    assert list(total.values()) == pytest.approx([mean[1], 7 * mean[1], ALL * mean[1]], rel=1e-5)


def test_all_pixels_are_the_task_itself():
    model, batch = mixed(), data()
    rows = OutputDimension("rooms", draws=3, points=3)(model, batch, {"fgsm": FGSM(Linf(0.05))})
    whole = rows.filter(dimension=ALL)
    sizes = task_gradients(model, batch, ["rooms"]).values.flatten(1).double().norm(dim=1)
    assert whole.filter(measure=MEAN)["value"].to_list() == pytest.approx(sizes.tolist(), rel=1e-6)
    hit = FGSM(Linf(0.05), Objective(("rooms",)))(model, batch)
    with torch.no_grad():
        right = model(hit.images)["rooms"].argmax(1) == batch.targets["rooms"]
    shares = right.flatten(1).double().mean(1).tolist()
    assert whole.filter(measure="pixel_accuracy", attack="fgsm")["value"].to_list() == pytest.approx(shares)


def test_each_draw_is_what_one_gets_by_hand():
    model, batch = mixed(), data()
    how = OutputDimension("rooms", dimensions=(4,), draws=3, seed=9)
    attack = PGD(Linf(0.05), Objective(surrogate=Margin()), steps=3, seed=1)
    random = Noise(Linf(0.3), seed=4, draws=1, keep="last")  # whose images are its seed's alone
    rows = how(model, batch, {"pgd": attack, "noise": random})
    sizes, hits, strays, clean = [], [], [], []
    for draw in range(3):
        chosen = how.chosen(torch.ones(4, SIDE, SIDE, dtype=torch.bool), batch.ids, draw) < 4
        marked = Batch(batch.images, {"rooms": torch.where(chosen, batch.targets["rooms"], 255)}, batch.ids)
        sizes.append(task_gradients(model, marked, ["rooms"]).values.flatten(1).norm(dim=1))
        aimed = replace(attack, objective=Objective(("rooms",), surrogate=Margin()), seed=1 + draw)
        moved = replace(random, objective=Objective(("rooms",)), seed=4 + draw)(model, marked).images
        with torch.no_grad():
            for images, found in ((batch.images, clean), (aimed(model, marked).images, hits), (moved, strays)):
                right = (model(images)["rooms"].argmax(1) == batch.targets["rooms"]) & chosen
                found.append(right.flatten(1).sum(1) / 4)
    told = {("norm of mean", ""): sizes}
    told |= {("pixel_accuracy", name): each for name, each in (("clean", clean), ("pgd", hits), ("noise", strays))}
    for (measure, attacked), wanted in told.items():
        found = rows.filter(measure=measure, attack=attacked)["value"].to_list()
        assert found == pytest.approx(torch.stack(wanted).mean(0).tolist(), rel=1e-5), (measure, attacked)
    assert rows.schema == OUTPUT_DIMENSION


def test_few_pixels_are_easier_to_beat_than_many():
    """The paper's Figure 4b, on a model whose pixels share their inputs."""
    rows = OutputDimension("rooms", draws=8, dimensions=(1, ALL))(mixed(), data(12), {"pgd": PGD(Linf(0.15), steps=8)})
    attacked = curve(rows, "pixel_accuracy", "pgd")
    assert attacked[1] < attacked[ALL]


def test_examples_are_alone():
    model, batch, how = mixed(), data(unknown=True), OutputDimension("rooms", draws=2, points=3)
    attacks = {"pgd": PGD(Linf(0.05), steps=2)}
    whole = how(model, batch, attacks)
    single = how(model, batch, attacks, ALONE)
    turned = how(model, batch[[3, 1, 0, 2]], attacks)
    key = ["dimension", "measure", "attack", "example"]
    told = [each.sort(key)["value"].to_list() for each in (whole, single, turned)]
    assert told[0] == pytest.approx(told[1], rel=1e-5)
    assert told[0] == pytest.approx(told[2], rel=1e-5)
    assert OutputDimension("rooms", draws=2, points=3, seed=1)(model, batch)["value"].to_list() != told[0]


def test_unknown_pixels_are_never_chosen():
    batch = data(unknown=True)
    rows = OutputDimension("rooms", draws=2, dimensions=(1, 4, 20, ALL))(mixed(), batch)
    assert 7 not in rows["example"].to_list()  # the one without any
    pixels = rows.filter(measure=PIXELS, example=2).select("dimension", "value").rows()
    assert pixels == [(1, 1.0), (4, 4.0), (20, 6.0), (ALL, 6.0)]
    mean, total, count = (rows.filter(measure=each)["value"] for each in (MEAN, SUM, PIXELS))
    assert total.to_list() == pytest.approx((mean * count).to_list())
    known = torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) < 0.5
    order = OutputDimension().chosen(known, torch.arange(3), 0)
    for row, where in zip(order, known, strict=True):
        assert sorted(row[where].tolist()) == list(range(int(where.sum())))
        assert (row[~where] == ALL).all()


def test_every_pixel_is_as_likely():
    known = torch.ones(1, SIDE, SIDE, dtype=torch.bool).expand(400, -1, -1)
    counts = sum((OutputDimension().chosen(known, torch.arange(400), draw) < 9).sum(0) for draw in range(5))
    expected = 2000 * 9 / ALL
    assert (counts - expected).abs().max() < 5 * (expected * (1 - 9 / ALL)) ** 0.5
    assert int(counts.sum()) == 2000 * 9


def test_maps_of_numbers_too():
    rows = OutputDimension("metres", draws=2, dimensions=(1, 5, ALL))(mixed(), data(unknown=True))
    assert set(rows["measure"]) == {MEAN, SUM, PIXELS, "aerr"}
    assert curve(rows, PIXELS) == {1: 1, 5: 5, ALL: ALL / 2}
    model, batch = mixed(), data(unknown=True)
    with torch.no_grad():
        wanted = METRES.score(model(batch.images)["metres"], batch.targets["metres"]).mean()
    assert curve(rows, "aerr", CLEAN)[ALL] == pytest.approx(float(wanted), rel=1e-5)


def test_numbers_of_pixels():
    assert OutputDimension().numbers(1) == (1,)
    assert OutputDimension(points=4).numbers(1000) == (1, 10, 100, 1000)
    assert OutputDimension(dimensions=(50, 3)).numbers(10) == (3, 10)
    steps = np.diff(np.log(OutputDimension(points=20).numbers(10**6)))
    assert steps.max() < 1.1


def test_mistakes_are_told_in_one_line():
    model, batch = mixed(), data()
    for fields in ({"draws": 0}, {"points": 0}, {"dimensions": (0, 4)}):
        with pytest.raises(TestudoError, match="must be at least 1"):
            OutputDimension(**fields)
    with pytest.raises(TestudoError, match=r"say which dense task is meant .* rooms, metres"):
        OutputDimension()(model, batch)
    with pytest.raises(TestudoError, match="unknown dense task 'room'; did you mean 'rooms'"):
        OutputDimension("room")(model, batch)
    with pytest.raises(TestudoError, match="cannot be called 'clean'"):
        OutputDimension("rooms")(model, batch, {"clean": FGSM()})
    flat = wrap(nn.Sequential(nn.Flatten(), nn.Linear(2 * ALL, 3)), [Classification("digit", classes=3)])
    with pytest.raises(TestudoError, match="the model has: none"):
        OutputDimension()(flat, Batch(batch.images, {"digit": torch.zeros(4, dtype=torch.int64)}))
    with pytest.raises(TestudoError, match="no labels for it"):
        OutputDimension("rooms")(model, Batch(batch.images, {"metres": batch.targets["metres"]}))
    assert OutputDimension("rooms")(model, batch[:0]).schema == OUTPUT_DIMENSION
