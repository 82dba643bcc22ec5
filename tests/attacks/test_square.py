"""Square: optima that can be counted out, the ball, the books, and other people's Square."""

from __future__ import annotations

import itertools

import helpers
import pytest
import torch
from torch import nn

from testudo.attacks import square
from testudo.attacks.objective import Objective
from testudo.attacks.problem import Problem
from testudo.attacks.square import Square
from testudo.attacks.square_shapes import hills, window, window_size
from testudo.attacks.surrogates import Margin
from testudo.attacks.threat import L1, L2, Linf
from testudo.data.batch import Batch
from testudo.errors import TestudoError
from testudo.models.encoder import seeded
from testudo.models.wrap import wrap
from testudo.registry import THREATS
from testudo.tasks.classification import Classification
from testudo.tasks.segmentation import Segmentation

MARGIN = Objective(surrogate=Margin())


class Weighs(nn.Module):
    """Two logits, whose difference is a weighted sum of the pixels; no example's bits depend on its neighbours."""

    def __init__(self, weights, bias=0.0):
        super().__init__()
        self.weights, self.bias = nn.Parameter(weights, requires_grad=False), bias

    def forward(self, x):
        total = self.bias
        for value, weight in zip(x.flatten(1).T, self.weights.flatten(), strict=True):
            total = total + value * weight
        return torch.stack([total, -total], 1)


def weighing(shape, bias=0.0, seed=0):
    """A model of :class:`Weighs` in float64 with random weights."""
    g = torch.Generator().manual_seed(seed)
    weights = torch.randn(*shape, generator=g, dtype=torch.float64)
    return helpers.exact(wrap(Weighs(weights, bias), [Classification("digit", classes=2)])), weights


def grey(n, shape, seed=1, label=0):
    """Random images away from the box's faces."""
    g = torch.Generator().manual_seed(seed)
    images = torch.rand(n, *shape, generator=g, dtype=torch.float64) * 0.4 + 0.3
    return Batch(images, {"digit": torch.full((n,), label)}, torch.arange(n) + 5)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 1), (1, 1, 2), (1, 2, 1), (2, 2, 3)])
def test_the_best_corner_of_a_tiny_cube_is_found(shape):
    model, _ = weighing(shape)
    data, ball = grey(3, shape), Linf(0.1)
    size = data.images[0].numel()
    moves = torch.tensor(list(itertools.product((-0.1, 0.1), repeat=size)), dtype=torch.float64)
    corners = data.images[:, None] + moves.reshape(-1, *shape)
    logits = model.exact(corners.flatten(0, 1), ("digit",))["digit"]
    best = (logits[:, 1] - logits[:, 0]).reshape(3, -1).amax(1)
    hit = Square(ball, MARGIN, queries=200)(model, data)
    torch.testing.assert_close(hit.loss, best, rtol=0, atol=1e-12)


@pytest.mark.parametrize("ball", [L2(0.2), L1(0.2)])
@pytest.mark.parametrize(("shape", "share"), [((1, 1, 1), 0.999), ((1, 1, 2), 0.85), ((2, 5, 4), 0.5)])
def test_it_comes_near_the_optimum_of_round_balls(ball, share, shape):
    """As near as windows of 3 x 3 pixels or the whole image can; a random point of the ball has a tenth of it."""
    model, weights = weighing(shape)
    data = grey(4, shape)
    clean = model.exact(data.images, ("digit",))["digit"]
    gain = Square(ball, MARGIN, queries=400)(model, data).loss - (clean[:, 1] - clean[:, 0])
    best = 2 * ball.eps * torch.linalg.vector_norm(weights, 2 if ball.p == 2 else torch.inf)
    assert (gain >= share * best).all()
    assert (gain <= best * (1 + 1e-9)).all()


@pytest.mark.parametrize("norm", THREATS.names())
def test_a_longer_search_with_the_same_windows_is_never_worse(norm):
    model, data = helpers.exact(helpers.multi().double()), helpers.batch(dtype=torch.float64)
    losses = [
        Square(helpers.threat(norm), queries=queries, rescale=False)(model, data).loss for queries in (1, 5, 40, 160)
    ]
    assert all((longer >= shorter).all() for shorter, longer in itertools.pairwise(losses))
    assert (losses[-1] > losses[0]).any()


@pytest.mark.parametrize("norm", THREATS.names())
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 7), (1, 6, 2), (2, 9, 9)])
@pytest.mark.parametrize("masked", [False, True])
def test_any_shape_stays_inside_ball_box_and_mask(norm, shape, masked):
    model, _ = weighing(shape)
    images = torch.rand(5, *shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64).round(decimals=1)
    data = Batch(images, {"digit": torch.tensor([0, 1, 0, 1, 0])})
    eps = torch.tensor([0.0, 0.03, 0.3, 1.0, 50.0], dtype=torch.float64)
    mask = (images[:, :1] * 10).round() % 2 == 0 if masked else None
    ball = THREATS.get(norm)(eps, mask=mask)
    hit = Square(ball, MARGIN, queries=40, keep="last")(model, data)
    helpers.assert_inside(hit.images, images, ball)
    moved = (hit.images != images).flatten(1).any(1)
    assert not moved[0]
    assert masked or moved[1:].all()
    assert not masked or not ((hit.images != images) & ~mask).any()


@pytest.mark.parametrize("norm", THREATS.names())
def test_dropping_the_decided_changes_nothing(norm, monkeypatch):
    data, ball = grey(40, (2, 5, 4)), helpers.threat(norm)
    _, weights = weighing((2, 5, 4))
    reach = ball.eps * torch.linalg.vector_norm(weights, {1: torch.inf, 2: 2}.get(ball.p, 1))
    middle = (data.images * weights).flatten(1).sum(1).mean()
    model, _ = weighing((2, 5, 4), bias=float(reach / 2 - middle))  # half of them within half of its reach
    attack = Square(ball, MARGIN, queries=100, keep="first", restarts=2)
    dropped = attack(model, data)
    monkeypatch.setattr(Problem, "drop", lambda self, *tensors: list(tensors))
    whole = attack(model, data)
    assert 0 < dropped.decided.sum() < 40
    assert torch.equal(dropped.decided, whole.decided)
    assert torch.equal(dropped.images, whole.images)
    assert dropped.forwards < whole.forwards


@pytest.mark.parametrize("norm", THREATS.names())
def test_an_example_does_not_know_its_batch(norm):
    model, _ = weighing((2, 5, 4))
    data = grey(7, (2, 5, 4))
    attack = Square(helpers.threat(norm), MARGIN, queries=150, keep="last")
    whole, order = attack(model, data).images, torch.tensor([4, 0, 6])
    assert torch.equal(attack(model, data[order]).images, whole[order])
    renamed = attack(model, Batch(data.images, data.targets, data.ids + 100)).images
    assert (renamed != whole).flatten(1).any(1).all()


def test_drawing_ahead_is_only_for_speed_and_restarts_differ(monkeypatch):
    model, data = helpers.exact(helpers.multi().double()), helpers.batch(dtype=torch.float64)
    attack = Square(queries=200, rescale=False)
    one = attack(model, data).loss
    assert (Square(queries=200, rescale=False, restarts=2)(model, data).loss >= one).all()
    assert (Square(queries=200, rescale=False, restarts=2)(model, data).loss > one).any()
    monkeypatch.setattr(square, "AHEAD", 512)  # other numbers, since they are drawn under other names
    assert not torch.equal(attack(model, data).loss, one)


@pytest.mark.parametrize("norm", THREATS.names())
def test_a_query_is_a_forward(norm):
    attack = Square(helpers.threat(norm), queries=37, keep="last")
    hit = attack(helpers.exact(helpers.multi()), helpers.batch())
    assert hit.backwards == 0
    assert hit.forwards == 37 + 1  # the images it ends with are measured


def test_dense_tasks_are_attacked():
    task = Segmentation("rooms", classes=3)
    with seeded(0):
        model = helpers.exact(wrap(nn.Conv2d(1, 3, 3, padding=1), [task]))
        images, target = torch.rand(4, 1, 6, 7), torch.randint(0, 3, (4, 6, 7))
    target[0, 0, 0] = 255
    data = Batch(images, {"rooms": target})
    hit, nothing = (Square(Linf(eps), queries=200)(model, data).loss for eps in (0.1, 0.0))
    assert (hit > nothing).all()
    assert not Square(Linf(0.1), MARGIN, queries=20, keep="first")(model, data).loss.isnan().any()


def test_windows_have_their_size_and_reach_every_place():
    images = torch.zeros(400, 1, 5, 4)
    draws = torch.rand(400, 2, generator=torch.Generator().manual_seed(0))
    for size in ((1, 1), (3, 3), (5, 4)):
        found = window(draws, images, size)
        assert (found.inside.flatten(1).sum(1) == size[0] * size[1]).all()
        assert found.inside.any(0).all()
        row, column = found.inside[:, 0].flatten(1).int().argmax(1).div(4, rounding_mode="floor"), found.inside[:, 0]
        assert (found.rows[torch.arange(400), row, 0] == 0).all()
        assert (row <= 5 - size[0]).all()
        assert column.any()


def test_window_sizes():
    wide = torch.zeros(1, 3, 8, 32)
    assert window_size(wide, 0.25, torch.inf) == (8, 8)
    assert window_size(wide, 0.8, torch.inf) == (8, 14)
    assert window_size(wide, 1e-6, torch.inf) == (1, 1)
    assert window_size(wide, 1e-6, 2) == (3, 3)
    assert window_size(wide, 0.25, 1) == (8, 9)
    assert window_size(wide[..., :1, :1], 0.8, 2) == (1, 1)


@pytest.mark.parametrize("p", [1.0, 2.0])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 3), (4, 7), (9, 9)])
def test_hills_have_norm_one_and_turn(rows, columns, p):
    upright, lying = hills(rows, columns, p)
    for shape in (upright, lying):
        torch.testing.assert_close(torch.linalg.vector_norm(shape, p), torch.ones((), dtype=torch.float64))
    if rows == columns:
        assert torch.equal(upright, lying.T)
    assert (upright[: rows // 2] > 0).all()
    assert (upright[rows // 2 :] < 0).all()


def test_shares_follow_the_paper():
    full = Square(queries=10000)
    shares = {10: 0.8, 11: 0.4, 50: 0.4, 51: 0.2, 500: 0.1, 1001: 0.025, 8001: 0.8 / 512}
    for done, share in shares.items():
        assert full.share(done + 1) == share
    assert Square(queries=5000, rescale=False).share(5000) == 0.8 / 128  # where AutoAttack's search ends
    assert Square(queries=5000).share(5000) == 0.8 / 512


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"queries": 0}, "queries and restarts must be at least 1, got 0 and 1"),
        ({"restarts": 0}, "got 5000 and 0"),
        ({"p_init": 0.0}, "p_init must be above 0 and at most 1, got 0.0"),
    ],
)
def test_settings_without_meaning_are_refused(fields, message):
    with pytest.raises(TestudoError, match=message):
        Square(**fields)


@pytest.mark.parametrize(("ball", "norm"), [(Linf(0.06), "Linf"), (L2(0.35), "L2")])
def test_not_weaker_than_torchattacks(ball, norm):
    other = pytest.importorskip("torchattacks")
    with seeded(5):
        net = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 12, 3, padding=1), nn.ReLU(),
            nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(108, 5),
        ).eval()  # fmt: skip
    images = torch.rand(200, 1, 10, 10, generator=torch.Generator().manual_seed(0))
    labels = net(images).argmax(1)
    theirs = other.Square(net, norm=norm, eps=ball.eps, n_queries=300, seed=0)(images, labels)
    model = helpers.exact(wrap(net, [Classification("digit", classes=5)]))
    ours = Square(ball, MARGIN, queries=300, keep="first")(model, Batch(images, {"digit": labels}))
    robust = [(net(found).argmax(1) == labels).float().mean() for found in (theirs, ours.images)]
    assert robust[1] <= robust[0] + 0.01
    assert 0.05 < robust[0] < 0.95  # neither was too easy
