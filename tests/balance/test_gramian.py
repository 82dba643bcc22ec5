"""Balances of gradients: torchjd's own aggregators, closed forms, what each promises of its step."""

from __future__ import annotations

import itertools

import pytest
import torch
from scipy.optimize import nnls
from torchjd import aggregation
from torchjd.linalg import DualConeProjector

from testudo.balance.gramian import IMTLG, MGDA, DualProj, UPGrad
from testudo.balance.minnorm import min_norm
from testudo.balance.surgery import GradVac, PCGrad, orders
from testudo.balance.through_torchjd import AlignedMTL
from testudo.errors import TestudoError

ALL = (MGDA(), MGDA(solver="frank_wolfe"), IMTLG(), UPGrad(), DualProj(), PCGrad(), GradVac(), AlignedMTL())
PARETO = (MGDA(), MGDA(normalise="none"), MGDA(normalise="loss"), MGDA(normalise="loss+"), UPGrad(), DualProj())


def jacobians(n=40, k=3, size=4, seed=0):
    g = torch.Generator().manual_seed(seed)
    scale = 10 ** (4 * torch.rand(n, k, 1, generator=g, dtype=torch.float64) - 2)
    return torch.randn(n, k, size, generator=g, dtype=torch.float64) * scale


def weigh(balance, jacobian, losses=None, state=None):
    losses = torch.ones_like(jacobian[..., 0]) if losses is None else losses
    state = balance.start(losses) if state is None else state
    return balance.weigh(state, losses, jacobian @ jacobian.mT)


def cosines(jacobian, weights):
    """(N, K) of the step with each gradient."""
    unit = torch.nn.functional.normalize(jacobian, dim=-1)
    step = torch.nn.functional.normalize((weights[..., None] * jacobian).sum(-2), dim=-1)
    return (unit @ step[..., None])[..., 0]


class Scipys(DualConeProjector):
    """torchjd's own projector needs packages that are not here: least |J'(u + s)| over s >= 0, by scipy."""

    def __call__(self, U, G):
        root = torch.linalg.cholesky(G).mT
        found = [torch.tensor(nnls(root.numpy(), -(root @ u).numpy())[0]) for u in U.reshape(-1, len(G))]
        return U + torch.stack(found).reshape(U.shape)


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize(
    ("balance", "weighting"),
    [
        (MGDA(normalise="none", solver="frank_wolfe", steps=30), aggregation.MGDAWeighting(1e-300, 30)),
        (UPGrad(), aggregation.UPGradWeighting(projector=Scipys())),
        (DualProj(), aggregation.DualProjWeighting(projector=Scipys())),
        (IMTLG(), aggregation.IMTLGWeighting()),
        (AlignedMTL("exact", "rmse"), aggregation.AlignedMTLWeighting(scale_mode="rmse")),
        (AlignedMTL(), aggregation.AlignedMTLWeighting()),
    ],
    ids=lambda part: type(part).__name__,
)
def test_agreement_with_torchjd(balance, weighting, k):
    jacobian = jacobians(k=k, size=k + 2)
    mine, _ = weigh(balance, jacobian)
    its = torch.stack([weighting(j @ j.mT) for j in jacobian])
    if isinstance(balance, IMTLG):  # ours never turns the step round, and has another length
        its = its * its.sum(-1, keepdim=True).sign() / its.abs().sum(-1, keepdim=True)
        its = its * cosines(jacobian, its)[:, :1].sign()
    torch.testing.assert_close(mine, its, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_surgery_is_torchjds_mean_over_orders(k, monkeypatch):
    jacobian = jacobians(6, k, k + 1)
    states = {PCGrad(): None, GradVac(rate=0.5): None}
    for step in range(3):
        for balance, state in states.items():
            mine, states[balance] = weigh(balance, jacobian + step, state=state)
            for row, j in enumerate(jacobian + step):
                its = []
                size = k if isinstance(balance, PCGrad) else k - 1
                for order in itertools.permutations(range(size)):
                    monkeypatch.setattr(torch, "randperm", lambda n, order=order: torch.tensor(order))
                    weighting = aggregation.PCGradWeighting()
                    if isinstance(balance, GradVac):
                        weighting = aggregation.GradVacWeighting(beta=0.5, eps=0.0)
                        weighting._ensure_state(k, j.dtype)
                        if state is not None:
                            weighting._phi_t = state["usual"][row].clone()
                    its.append(weighting(j @ j.mT))
                torch.testing.assert_close(mine[row], torch.stack(its).mean(0), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("k", [2, 3, 6])
@pytest.mark.parametrize("balance", PARETO, ids=str)
def test_no_task_is_lowered(balance, k):
    """The Pareto property, with and without a direction that raises every task."""
    g = torch.Generator().manual_seed(1)
    for jacobian in (jacobians(k=k, size=k + 2), jacobians(k=k, size=max(2, k - 1)), jacobians(k=k) + 1):
        losses = torch.rand(*jacobian.shape[:2], generator=g, dtype=torch.float64) * 3
        weights, _ = weigh(balance, jacobian, losses)
        parts = (weights * jacobian.norm(dim=-1)).amax(-1, keepdim=True)
        along = (jacobian @ (weights[..., None] * jacobian).sum(-2)[..., None])[..., 0]
        assert (along >= -1e-9 * parts * jacobian.norm(dim=-1)).all()


def test_equal_weights_do_lower_some():
    """So that the test above can fail."""
    jacobian = jacobians()
    assert (cosines(jacobian, torch.ones(40, 3)).amin(-1) < -0.1).any()


def test_normalised_gradients_are_equally_far_along():
    """The shortest vector of unit gradients has one angle with all that weigh; IMTL-G with all."""
    jacobian = jacobians(size=6)
    weights, _ = weigh(MGDA(), jacobian)
    along = cosines(jacobian, weights)
    least = along.amin(-1, keepdim=True)
    torch.testing.assert_close(torch.where(weights > 0, along, least), least.expand_as(along))
    along = cosines(jacobian, weigh(IMTLG(), jacobian)[0])
    torch.testing.assert_close(along, along[:, :1].expand_as(along))
    assert (along > 0).all()


def test_mgda_divides_gradients_as_it_says():
    jacobian = jacobians(6)
    losses = torch.rand(6, 3, dtype=torch.float64) + 0.2
    norms = jacobian.norm(dim=-1)
    for normalise, unit in (("none", norms * 0 + 1), ("l2", norms), ("loss", losses), ("loss+", losses * norms)):
        divided = jacobian / unit[..., None]
        wanted = min_norm(divided @ divided.mT) / unit
        found, _ = weigh(MGDA(normalise=normalise), jacobian, losses)
        torch.testing.assert_close(found, wanted / wanted.sum(-1, keepdim=True))


def test_orders_are_all_of_them_while_they_are_few():
    assert orders(1).shape == (1, 1, 0)
    assert orders(4).shape == (4, 6, 3)
    assert sorted(map(tuple, orders(4)[1].tolist())) == sorted(itertools.permutations([0, 2, 3]))
    many = orders(9)
    assert many.shape == (9, 16, 8)
    assert (many.sort(-1).values == many[:, :1].sort(-1).values).all()


@pytest.mark.parametrize("balance", ALL, ids=str)
def test_scale_does_not_matter_and_nothing_overflows(balance):
    jacobian = jacobians(8)
    plain, _ = weigh(balance, jacobian)
    for power in (-15, 15):
        scaled, _ = weigh(balance, jacobian * 10.0**power)
        torch.testing.assert_close(scaled, plain, rtol=1e-6, atol=1e-9)
        apart = jacobian * torch.tensor([1.0, 10.0**power, 10.0**-power], dtype=torch.float64)[:, None]
        gramian = (apart @ apart.mT).clamp(-1e30, 1e30).float()
        state = balance.start(torch.ones(8, 3))
        assert balance.weigh(state, torch.ones(8, 3), gramian)[0].isfinite().all()


@pytest.mark.parametrize("balance", ALL, ids=str)
def test_degenerate_gramians(balance):
    """No gradient at all, one without, two that are the same, two that are opposed."""
    g = torch.eye(3, dtype=torch.float64)
    rows = torch.stack([g * 0, g * torch.tensor([[1.0], [0.0], [1.0]]), g[[0, 0, 1]], g * 1.0])
    rows[3, 1] = -rows[3, 0]
    rows = rows.float()
    weights, _ = weigh(balance, rows)
    assert weights.isfinite().all()
    torch.testing.assert_close(weights[0], torch.full((3,), 1 / 3))
    assert weights[1, 1] == 0
    alone, _ = weigh(balance, rows[1][[0, 2]])
    torch.testing.assert_close(weights[1, [0, 2]], alone)


@pytest.mark.parametrize("balance", ALL, ids=str)
def test_global_random_state_is_neither_read_nor_changed(balance):
    jacobian = jacobians(4)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one, _ = weigh(balance, jacobian)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(weigh(balance, jacobian)[0], one)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MGDA(gradients="pixels"), "unknown place of gradients 'pixels'"),
        (lambda: MGDA(solver="exakt"), "unknown solver 'exakt'; did you mean 'exact'"),
        (lambda: MGDA(normalise="l3"), "unknown normalisation 'l3'; did you mean 'l2'"),
        (lambda: MGDA(steps=0), "steps must be at least 1, got 0"),
        (lambda: GradVac(rate=1.5), r"rate must be in \[0, 1\], got 1.5"),
        (lambda: AlignedMTL(scale="max"), "unknown scale 'max'"),
        (lambda: PCGrad().weigh(PCGrad().start(torch.ones(2)), torch.ones(2)), "PCGrad weighs by the gradients'"),
    ],
)
def test_mistakes_are_told_in_one_line(make, message):
    with pytest.raises(TestudoError, match=f"^{message}"):
        make()


@pytest.mark.parametrize("balance", ALL, ids=str)
def test_no_examples(balance):
    weights, _ = weigh(balance, jacobians(0))
    assert weights.shape == (0, 3)
