"""What holds for every registered attack, in every norm, on every objective."""

from __future__ import annotations

import dataclasses
import itertools
from functools import partial

import helpers
import pytest
import torch
from helpers import MODELS, OBJECTIVES

from testudo.attacks.base import Attack, Attacked
from testudo.attacks.objective import Objective
from testudo.balance.floored import FlooredMGDA
from testudo.balance.stealthy import Stealthy
from testudo.data.batch import Batch
from testudo.registry import ATTACKS, BALANCES, THREATS

CORE = ("single", "equal", "minmax", "margin", "targeted")  # for every attack and norm; the rest for two pairs
PAIRS = (("pgd", "linf"), ("apgd", "l2"))
GRID = [
    (name, norm, kind)
    for name, norm, kind in itertools.product(ATTACKS.names(), THREATS.names(), OBJECTIVES)
    if (kind in CORE or (name, norm) in PAIRS) and (kind in ("single", "margin") or name not in helpers.ONE_TASK)
]
CASES = [(model, *case) for case in GRID for model in MODELS if model == "multi" or case[2] in ("single", "margin")]


@pytest.fixture(params=CASES, ids="-".join)
def case(request):
    """(model, attack) in float32, the model being the frozen copy in full precision."""
    model, name, norm, kind = request.param
    built = MODELS[model]()
    return built, helpers.attack(name, threat=helpers.threat(norm), objective=helpers.objective(kind, built))


@pytest.fixture(params=GRID, ids="-".join)
def multi(request):
    """The same on the multi-task model alone."""
    name, norm, kind = request.param
    built = helpers.multi()
    return built, helpers.attack(name, threat=helpers.threat(norm), objective=helpers.objective(kind, built))


def changed(attack, **fields):
    """``attack`` with other fields, of which those it lacks are left out."""
    known = {field.name for field in dataclasses.fields(attack)}
    return dataclasses.replace(attack, **{key: value for key, value in fields.items() if key in known})


def assert_sound(hit: Attacked, data: Batch, attack: Attack) -> None:
    """No NaN anywhere, shapes, dtype and device as promised."""
    n, names = len(data), attack.objective.tasks
    assert hit.images.shape == data.images.shape
    assert hit.images.device == data.images.device
    assert hit.images.is_contiguous()
    assert not hit.images.requires_grad
    assert hit.loss.shape == (n,)
    assert tuple(hit.task_loss) == names
    assert hit.weights.shape == (n, len(names))
    for values in (hit.images, hit.loss, hit.weights, *hit.task_loss.values()):
        assert values.isfinite().all()
    assert attack.objective.balance.signed or (hit.weights >= 0).all()
    assert hit.decided.dtype == torch.bool
    assert hit.decided.shape == (n,)
    for values in hit.task_loss.values():
        assert values.shape == (n,)


def assert_same(one: Attacked, other: Attacked, index: slice | torch.Tensor = slice(None), atol: float = 0.0) -> None:
    """``one`` at ``index`` is ``other``."""
    pairs = [(one.images, other.images), (one.loss, other.loss), (one.weights, other.weights)]
    pairs += [(values, other.task_loss[name]) for name, values in one.task_loss.items()]
    for mine, its in pairs:
        torch.testing.assert_close(mine[index], its, rtol=0, atol=atol)


@pytest.mark.parametrize("keep", ["best", "last", "first"])
def test_result_is_inside_and_is_what_the_model_says_of_it(case, keep):
    model, attack = case
    attack, data = changed(attack, keep=keep), helpers.batch()
    hit = attack(helpers.exact(model), data)
    assert_sound(hit, data, attack)
    assert hit.images.dtype == data.images.dtype
    helpers.assert_inside(hit.images, data.images, attack.threat)
    for name, values in helpers.fresh_losses(model, hit, data, attack.objective).items():
        torch.testing.assert_close(hit.task_loss[name], values, rtol=1e-4, atol=1e-5)


def test_best_is_never_below_clean_and_never_below_last(case):
    model, attack = case
    frozen, data = helpers.exact(model), helpers.batch()
    nothing = attack(frozen, data).loss - changed(attack, threat=attack.threat.__class__(0.0))(frozen, data).loss
    assert (nothing >= 0).all()
    assert nothing.max() > 0
    best, last = (changed(attack, keep=keep)(frozen, data).loss for keep in ("best", "last"))
    assert (best >= last - 1e-6 * last.abs()).all()


@pytest.mark.parametrize("keep", ["best", "last", "first"])
def test_no_eps_no_change(multi, keep):
    model, attack = multi
    data = helpers.batch()
    ball = type(attack.threat)(0.0)
    for step in (None, 0.1):
        hit = changed(attack, threat=ball, keep=keep, step=step)(helpers.exact(model), data)
        assert torch.equal(hit.images, data.images)
        assert_sound(hit, data, attack)


def test_same_seed_same_result(multi):
    model, attack = multi
    frozen, data = helpers.exact(model), helpers.batch()
    assert_same(attack(frozen, data), attack(frozen, data))


@pytest.mark.parametrize("norm", THREATS.names())
@pytest.mark.parametrize("name", helpers.random_attacks())
def test_other_seed_other_result(name, norm):
    model, data = helpers.exact(helpers.multi()), helpers.batch()
    one, other = (
        helpers.attack(name, threat=helpers.threat(norm), keep="last", seed=seed)(model, data).images for seed in (0, 1)
    )
    assert (one != other).any()  # a step of one value, as in L1, may reach the same corner from every start


def test_an_example_does_not_know_its_batch_in_float64(multi):
    """Up to the last bits, which torch's matrix product makes depend on the number of rows."""
    model, attack = multi
    close = partial(assert_same, atol=1e-12)
    frozen, data = helpers.exact(model.double()), helpers.batch(dtype=torch.float64)
    whole = attack(frozen, data)
    order = torch.tensor([4, 2, 5, 0, 1, 3])
    close(whole, attack(frozen, data[order]), order)
    close(whole, attack(frozen, data[:1]), slice(0, 1))
    close(whole, attack(frozen, data[1:4]), slice(1, 4))
    longer = attack(frozen, Batch.cat([helpers.batch(5, seed=9, dtype=torch.float64), data]))
    close(longer, whole, slice(5, None))


def test_an_example_hardly_knows_its_batch_in_float32(multi):
    model, attack = multi
    frozen, data = helpers.exact(model), helpers.batch()
    whole = attack(frozen, data).loss
    parts = torch.cat([attack(frozen, part).loss for part in data.split(4)])
    torch.testing.assert_close(parts, whole, rtol=1e-2, atol=1e-5)


@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize("keep", ["best", "last", "first"])
def test_small_batches(multi, size, keep):
    model, attack = multi
    data = helpers.batch(6)[:size]
    hit = changed(attack, keep=keep)(helpers.exact(model), data)
    assert_sound(hit, data, attack)
    assert attack.perturb(model, data).shape == data.images.shape


@pytest.mark.parametrize("keep", ["best", "last", "first"])
@pytest.mark.parametrize("factor", [0.0, 1e-30, 1e4, 1e12])
def test_flat_and_steep_models(multi, keep, factor):
    model, attack = multi
    model.module = helpers.Scaled(model.module, factor)
    data = helpers.batch()
    hit = changed(attack, keep=keep)(helpers.exact(model), data)
    assert_sound(hit, data, attack)
    helpers.assert_inside(hit.images, data.images, attack.threat)


@pytest.mark.parametrize("kind", BALANCES.names())
@pytest.mark.parametrize("name", [name for name in ATTACKS.names() if name not in helpers.ONE_TASK])
def test_a_task_without_a_label_is_as_if_it_were_not_attacked(name, kind):
    """Trap of min-max: a task that cannot be hurt is always the one hurt least, and would take all the weight."""
    model, data = helpers.exact(helpers.multi().double()), helpers.batch(dtype=torch.float64)
    none = Batch(data.images, {**data.targets, "digit": torch.full((6,), -1)}, data.ids)
    named = {"stealthy": Stealthy(("angle",)), "mgda_floored": FlooredMGDA(named=("angle",))}
    how = named.get(kind) or helpers.balance(kind)
    ball = helpers.threat("linf", 0.3)
    with_it, without = (
        helpers.attack(name, threat=ball, steps=6, objective=Objective(tasks, how))(model, none)
        for tasks in (("digit", "angle", "signs"), ("angle", "signs"))
    )
    torch.testing.assert_close(with_it.images, without.images, rtol=0, atol=1e-12)


@pytest.mark.parametrize("keep", ["best", "last", "first"])
def test_nothing_labelled(multi, keep):
    model, attack = multi
    data = helpers.unlabelled()
    hit = changed(attack, keep=keep)(helpers.exact(model), data)
    assert_sound(hit, data, attack)
    helpers.assert_inside(hit.images, data.images, attack.threat)
    assert all((values == 0).all() for values in hit.task_loss.values())
    if keep == "best":
        assert torch.equal(hit.images, data.images)  # nothing hurts


def test_perturb_gives_the_same_images(multi):
    model, attack = multi
    frozen, data = helpers.exact(model), helpers.batch()
    for keep in ("best", "last"):
        again = changed(attack, keep=keep)
        torch.testing.assert_close(again.perturb(frozen, data), again(frozen, data).images, rtol=0, atol=0)


def test_an_eps_for_each_example(multi):
    model, attack = multi
    frozen, data = helpers.exact(model.double()), helpers.batch(4, dtype=torch.float64)
    ball, steps = type(attack.threat), {"step": 0.02}
    radii = torch.tensor([0.0, 0.03, 0.5, 4.0], dtype=torch.float64)
    hit = changed(attack, threat=ball(radii), **steps)(frozen, data)
    helpers.assert_inside(hit.images, data.images, ball(radii))
    for row, eps in enumerate(radii.tolist()):
        alone = changed(attack, threat=ball(eps), **steps)(frozen, data[row : row + 1])
        torch.testing.assert_close(hit.images[row : row + 1], alone.images, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ATTACKS.names())
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_half_precision_images_and_models_stay_inside_the_ball(name, precision):
    """Trap: clean +- eps rounds to bf16 and overshoots by up to 2^-9."""
    model = helpers.fast(helpers.multi(), precision)
    for norm in THREATS.names():
        attack = helpers.attack(name, threat=helpers.threat(norm))
        for dtype in (torch.float32, torch.bfloat16, torch.float16):
            data = helpers.batch(dtype=torch.float32)
            half = data.with_images(data.images.to(dtype))
            hit = attack(model, half)
            assert hit.images.dtype == torch.float32
            helpers.assert_inside(hit.images, half.images, attack.threat)
            how = helpers.named(attack.objective)
            for task, values in helpers.fresh_losses(helpers.multi(), hit, half, how).items():
                torch.testing.assert_close(hit.task_loss[task], values, rtol=1e-4, atol=1e-5)
