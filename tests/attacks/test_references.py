"""The searches against plain loops written from the papers: FGSM, PGD, MIM, min-max."""

from __future__ import annotations

import helpers
import pytest
import torch
import torch.nn.functional as F

from testudo.attacks.fgsm import FGSM
from testudo.attacks.mim import MIM
from testudo.attacks.objective import Objective
from testudo.attacks.pgd import PGD
from testudo.attacks.surrogates import Margin
from testudo.attacks.threat import L2, Linf
from testudo.balance.minmax import MinMax
from testudo.errors import TestudoError
from testudo.tasks.classification import Classification

EPS = {"linf": 8 / 255, "l2": 0.4}
BALLS = {"linf": Linf(EPS["linf"]), "l2": L2(EPS["l2"])}


@pytest.fixture
def net():
    return helpers.multi().double()


@pytest.fixture
def data():
    """Nothing unknown, no pixel near the box, so that the loops below may project onto the ball alone."""
    found = helpers.batch(5, dtype=torch.float64)
    targets = {"digit": found.targets["digit"].clamp(min=0), "angle": found.targets["angle"].nan_to_num(0.5)}
    return helpers.Batch(found.images * 0.1 + 0.45, targets, found.ids)


def losses(net, x, data):
    """Cross-entropy, and the standardised error halved and squared, one row per task."""
    out = net(x)
    angle = (data.targets["angle"] - 1.0) / 2.0
    return torch.stack(
        [
            F.cross_entropy(out["digit"], data.targets["digit"], reduction="none"),
            HALF[helpers.TASKS[1].loss_kind](out["angle"] - angle).mean(1),
        ]
    )


HALF = {"l1": torch.abs, "l2": lambda gap: gap**2 / 2}


def slope(net, x, data, weights):
    x = x.clone().requires_grad_()
    total = (weights * losses(net, x, data)).sum()
    return torch.autograd.grad(total, x)[0]


def steepest(g, norm):
    return g.sign() if norm == "linf" else g / g.flatten(1).norm(dim=1)[:, None, None, None]


def clip(x, clean, norm):
    if norm == "linf":
        return torch.min(torch.max(x, clean - EPS[norm]), clean + EPS[norm])
    delta = x - clean
    size = delta.flatten(1).norm(dim=1)[:, None, None, None]
    return clean + delta * (EPS[norm] / size).clamp(max=1)


EQUAL = torch.full((2, 1), 0.5, dtype=torch.float64)


def same(one, other):
    torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


@pytest.mark.parametrize("norm", EPS)
def test_fgsm(net, data, norm):
    """Goodfellow et al.: x + eps sign(grad)."""
    hit = FGSM(BALLS[norm], Objective(("digit", "angle")), keep="last")(net, data)
    same(hit.images, data.images + EPS[norm] * steepest(slope(net, data.images, data, EQUAL), norm))


@pytest.mark.parametrize("norm", EPS)
@pytest.mark.parametrize("random_start", [True, False])
def test_pgd(net, data, norm, random_start):
    """Madry et al.: x <- project(x + a sign(grad))."""
    ball = BALLS[norm]
    attack = PGD(ball, Objective(("digit", "angle")), keep="last", steps=7, random_start=random_start)
    x = ball.random_start(data.images, data.ids, 0, 0) if random_start else data.images
    for _ in range(7):
        x = clip(x + 2.5 * EPS[norm] / 7 * steepest(slope(net, x, data, EQUAL), norm), data.images, norm)
    same(attack(net, data).images, x)


@pytest.mark.parametrize("norm", EPS)
@pytest.mark.parametrize("decay", [1.0, 0.5])
def test_mim(net, data, norm, decay):
    """Dong et al., equations 6 and 7 with the mean for the 1-norm; step eps / T."""
    attack = MIM(BALLS[norm], Objective(("digit", "angle")), keep="last", steps=6, decay=decay)
    x, momentum = data.images, 0
    for _ in range(6):
        g = slope(net, x, data, EQUAL)
        momentum = decay * momentum + g / g.abs().mean((1, 2, 3), keepdim=True)
        x = clip(x + EPS[norm] / 6 * steepest(momentum, norm), data.images, norm)
    same(attack(net, data).images, x)


@pytest.mark.parametrize("norm", EPS)
@pytest.mark.parametrize("scale", ["raw", "relative"])
def test_minmax(net, data, norm, scale):
    """The min-max paper's Algorithm 1: an ascent on x with w fixed, then a projected descent on w."""
    attack = PGD(
        BALLS[norm],
        Objective(("digit", "angle"), MinMax(scale, rate=0.3, gamma=0.5, floor=1e-3)),
        keep="last",
        steps=5,
        random_start=False,
    )
    x, w = data.images, EQUAL.expand(2, 5)
    with torch.no_grad():
        clean = losses(net, x, data)
    for _ in range(5):
        x = clip(x + 2.5 * EPS[norm] / 5 * steepest(slope(net, x, data, w), norm), data.images, norm)
        with torch.no_grad():
            now = losses(net, x, data)
        used = w
        r = now if scale == "raw" else (now - clean) / clean
        v = w - 0.3 * (r + 0.5 * (w - 0.5))
        first = ((v[0] - v[1] + 1) / 2).clamp(0, 1)  # the simplex of two is a segment
        w = torch.stack([first, 1 - first])
    hit = attack(net, data)
    same(hit.images, x)
    same(hit.weights, used.T)  # those of the last ascent


def test_best_is_the_worst_of_all_iterates(net, data):
    ball, how = Linf(0.3), Objective("digit")
    attack = PGD(ball, how, steps=6, step=0.3)  # long steps: the last iterate is rarely the worst
    x, seen = ball.random_start(data.images, data.ids, 0, 0), []
    for _ in range(6):
        seen.append(losses(net, x, data)[0])
        g = slope(net, x, data, torch.tensor([[1.0], [0.0]]))
        x = ball.project(x + 0.3 * g.sign(), data.images)
    seen.append(losses(net, x, data)[0])
    hit = attack(net, data)
    same(hit.loss, torch.stack([*seen, losses(net, data.images, data)[0]]).amax(0))
    assert (hit.loss > seen[-1] + 1e-6).any()
    same(PGD(ball, how, keep="last", steps=6, step=0.3)(net, data).loss, seen[-1])


def test_the_last_step_is_scored(net, data):
    """With one step there is nothing else to find."""
    hit = PGD(Linf(0.05), Objective("digit"), steps=1, step=0.05, random_start=False)(net, data)
    assert (hit.images != data.images).flatten(1).any(1).all()
    same(hit.loss, losses(net, hit.images, data)[0])


@pytest.mark.parametrize("keep", ["best", "last"])
def test_restarts_keep_the_worst_run(net, data, keep):
    fields = {"threat": Linf(0.1), "objective": Objective("digit"), "keep": keep, "steps": 2}
    ends = []
    for run_ in range(4):
        ball = fields["threat"]
        x, found = ball.random_start(data.images, data.ids, 5, run_), []
        for _ in range(2):
            found.append(losses(net, x, data)[0])
            x = ball.project(x + 0.125 * slope(net, x, data, torch.tensor([[1.0], [0.0]])).sign(), data.images)
        found.append(losses(net, x, data)[0])
        ends.append(torch.stack(found).amax(0) if keep == "best" else found[-1])
    hit = PGD(**fields, seed=5, restarts=4)(net, data)
    same(hit.loss, torch.stack(ends).amax(0).clamp(min=-1))
    same(losses(net, hit.images, data)[0], hit.loss)


def test_targeted_attacks_pull_to_the_target(net, data):
    wanted = helpers.Batch(data.images, {**data.targets, "digit": (data.targets["digit"] + 1) % 3}, data.ids)
    hit = PGD(Linf(0.4), Objective("digit", targeted=True), steps=20)(net, wanted)
    before, after = (net(x)["digit"].argmax(1) for x in (data.images, hit.images))
    assert (after == wanted.targets["digit"]).sum() > (before == wanted.targets["digit"]).sum()
    same(hit.task_loss["digit"], -losses(net, hit.images, wanted)[0])


def test_margin_is_cw_and_stable():
    task = Classification("digit", classes=3)
    logits = torch.tensor([[1e4, -1e4, 0.0], [0.0, 2.0, 5.0], [1.0, 2.0, 3.0]], requires_grad=True)
    margin = Margin()(task, logits, torch.tensor([0, 2, -1]))
    assert margin.tolist() == [-1e4, -3.0, 0.0]
    (gradient,) = torch.autograd.grad(margin.sum(), logits)
    assert gradient.tolist() == [[-1.0, 0.0, 1.0], [0.0, 1.0, -1.0], [0.0, 0.0, 0.0]]


def test_margin_needs_classes(net, data):
    with pytest.raises(TestudoError, match="'angle' is none"):
        FGSM(objective=Objective("angle", surrogate=Margin()))(net, data)


class First(torch.nn.Module):
    """The logits alone, as other libraries want them."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x.double(), ("digit",))["digit"]


@pytest.mark.parametrize("norm", EPS)
@pytest.mark.parametrize("random_start", [False, True])
@pytest.mark.parametrize("steps", [1, 6])
def test_pgd_is_foolboxs(net, data, norm, random_start, steps):
    """From the same start; its L1 attack takes dense steps, ours sparse ones."""
    foolbox = pytest.importorskip("foolbox")
    kind = {"linf": foolbox.attacks.LinfPGD, "l2": foolbox.attacks.L2PGD}[norm]
    start = BALLS[norm].random_start(data.images, data.ids, 0, 0) if random_start else data.images

    class Same(kind):
        def get_random_start(self, x0, epsilon):
            return foolbox.attacks.base.ep.astensor(start)

    other = Same(abs_stepsize=0.3 * EPS[norm], steps=steps, random_start=True)
    native = foolbox.PyTorchModel(First(net).eval(), bounds=(0, 1), device="cpu")
    wanted = other.run(native, data.images, foolbox.Misclassification(data.targets["digit"]), epsilon=EPS[norm])
    attack = PGD(BALLS[norm], Objective("digit"), "last", steps=steps, step=0.3 * EPS[norm], random_start=random_start)
    same(attack(net, data).images, wanted)


@pytest.mark.parametrize("norm", EPS)
def test_fgsm_is_foolboxs(net, data, norm):
    foolbox = pytest.importorskip("foolbox")
    other = {"linf": foolbox.attacks.LinfFastGradientAttack, "l2": foolbox.attacks.L2FastGradientAttack}[norm]()
    native = foolbox.PyTorchModel(First(net).eval(), bounds=(0, 1), device="cpu")
    wanted = other.run(native, data.images, foolbox.Misclassification(data.targets["digit"]), epsilon=EPS[norm])
    same(FGSM(BALLS[norm], Objective("digit"), "last")(net, data).images, wanted)


@pytest.mark.parametrize("decay", [1.0, 0.3])
def test_mim_is_torchattacks(net, data, decay):
    """Which works in float32, and whose mean loss over the batch the normalisation undoes."""
    torchattacks = pytest.importorskip("torchattacks")
    other = torchattacks.MIFGSM(First(net).eval(), eps=EPS["linf"], alpha=EPS["linf"] / 5, steps=5, decay=decay)
    wanted = other(data.images, data.targets["digit"])
    attack = MIM(BALLS["linf"], Objective("digit"), "last", steps=5, decay=decay)
    same(attack(net, data).images, wanted.double())
