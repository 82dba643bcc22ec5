"""What holds for every registered training method."""

from __future__ import annotations

from dataclasses import dataclass, replace

import helpers
import pytest
import torch

from testudo.attacks.objective import Objective
from testudo.attacks.pgd import PGD
from testudo.balance.fixed import Fixed
from testudo.data.batch import Batch
from testudo.errors import TestudoError
from testudo.models.wrap import wrap
from testudo.registry import METHODS
from testudo.training.methods.madry import Madry
from testudo.training.methods.mao import Mao
from testudo.training.methods.standard import Standard

TASKS = helpers.TASKS[:2]


@pytest.fixture(params=METHODS.names())
def method(request):
    return METHODS.get(request.param)()


def model():
    """Two tasks, in training."""
    return wrap(helpers.network(0, TASKS), TASKS).train()


def batch(n=8):
    full = helpers.batch(n)
    return Batch(full.images, {name: full.targets[name] for name in ("digit", "angle")}, full.ids)


def all_steps(method, net, data):
    return list(method.steps(net, data, {}))


def test_terms_are_named_finite_scalars_with_a_gradient(method):
    net = model()
    for terms in (method.terms(net, batch()), *method.steps(net, batch(), {})):
        assert terms
        for name, term in terms.items():
            task, _, suffix = name.partition(".")
            assert task in net.tasks or (task == "curvature" and suffix in net.tasks)
            assert suffix.isidentifier()
            assert term.shape == ()
            assert term.isfinite()
            assert term.requires_grad


def test_unlabelled_examples_change_nothing(method):
    """In eval mode, so that batch statistics do not tie the examples together."""
    net, data, none = model().eval(), batch(), helpers.unlabelled(3)
    other = Batch(none.images.flip(2), {name: none.targets[name] for name in data.targets}, none.ids + 900)
    alone, longer = (all_steps(method, net, found) for found in (data, Batch.cat([data, other])))
    for short, extended in zip(alone, longer, strict=True):
        for name, term in short.items():
            torch.testing.assert_close(term, extended[name], rtol=1e-4, atol=1e-6)


def test_nothing_labelled_is_no_loss_and_no_nan(method):
    net, data = model(), batch(4)
    none = {"digit": torch.full((4,), -1), "angle": torch.full((4, 2), torch.nan)}
    for terms in method.steps(net, Batch(data.images, none, data.ids), {}):
        total = sum(terms.values())
        assert total == 0
        total.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


def test_steps_lower_the_loss(method):
    net, data = model(), batch()
    optimiser = torch.optim.SGD(net.parameters(), 0.05)
    totals = []
    for _ in range(20):
        total = 0.0
        for terms in method.steps(net, data, {}):
            loss = sum(terms.values())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.item()
        totals.append(total)
    assert sum(totals[-3:]) < 0.9 * sum(totals[:3])


def test_making_terms_leaves_the_parameters_alone(method):
    """Only batch norm's statistics move, as in any training step; no gradient appears before ``backward``."""
    net = model()
    net.module.heads["angle"].bias.requires_grad_(False)
    modes, tensors = helpers.snapshot(net)
    state = torch.get_rng_state()
    all_steps(method, net, batch())
    after_modes, after = helpers.snapshot(net)
    assert modes == after_modes
    assert net.module.norm.training
    assert torch.equal(torch.get_rng_state(), state)
    for name, (_, value, flag, grad) in after.items():
        if "running" in name or "num_batches" in name:
            continue
        assert torch.equal(value, tensors[name][1])
        assert flag == tensors[name][2]
        assert grad is None


def test_a_frozen_norm_stays_frozen(method):
    net = model()
    net.module.norm.eval()
    mean = net.module.norm.running_mean.clone()
    all_steps(method, net, batch())
    assert not net.module.norm.training
    assert torch.equal(net.module.norm.running_mean, mean)


def test_weights_scale_terms(method):
    net, data = model().eval(), batch()
    plain = all_steps(replace(method, weights={"digit": 1.0, "angle": 1.0}), net, data)
    heavy = all_steps(replace(method, weights={"digit": 3.0, "angle": 3.0}), net, data)
    for one, other in zip(plain, heavy, strict=True):
        for name, term in one.items():
            torch.testing.assert_close(other[name], 3 * term, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_weights_that_mean_nothing_are_refused(method, weight):
    with pytest.raises(TestudoError, match="the weight of task 'digit' must be at least 0 and finite"):
        replace(method, weights={"digit": weight})


def test_tasks_that_the_model_lacks_are_refused(method):
    with pytest.raises(TestudoError, match=r"unknown task \(in the method's weights\) 'digt'; did you mean 'digit'"):
        replace(method, weights={"digt": 1.0}).check(model().tasks)
    method.check(model().tasks)


def test_standard_is_the_mean_loss_of_each_task():
    net, data = model().eval(), batch()
    terms = Standard(weights={"angle": 0.5}).terms(net, data)
    out = net(data.images)
    known = data.targets["digit"] >= 0
    want = torch.nn.functional.cross_entropy(out["digit"][known], data.targets["digit"][known])
    torch.testing.assert_close(terms["digit.clean"], want)
    want = net.tasks["angle"].loss(out["angle"], data.targets["angle"]).mean() / 2
    torch.testing.assert_close(terms["angle.clean"], want)


def test_madry_is_the_loss_at_its_attacks_images():
    net, data = model().eval(), batch()
    attack = PGD(steps=2, keep="last")
    hurt = Standard().terms(net, data.with_images(attack(net, data).images))
    terms = Madry(attack=attack).terms(net, data)
    assert terms.keys() == {"digit.adv", "angle.adv"}
    for task in net.tasks:
        torch.testing.assert_close(terms[f"{task}.adv"], hurt[f"{task}.clean"])
    mixed, clean = Madry(attack=attack, clean=0.25).terms(net, data), Standard().terms(net, data)
    for task in net.tasks:
        torch.testing.assert_close(mixed[f"{task}.adv"], 0.75 * hurt[f"{task}.clean"])
        torch.testing.assert_close(mixed[f"{task}.clean"], 0.25 * clean[f"{task}.clean"])
    with pytest.raises(TestudoError, match=r"clean must be a share in \[0, 1\), got 1.0"):
        Madry(clean=1.0)


def test_mao_on_the_main_task_is_madry():
    data, losses = batch(), []
    for method in (
        Mao(combinations=(("digit",),)),
        Madry(attack=PGD(steps=7, keep="last", objective=Objective("digit"))),
    ):
        net = model()
        (terms,) = all_steps(method, net, data)
        losses.append(terms["digit.adv"])
    torch.testing.assert_close(*losses, rtol=0, atol=1e-6)


@dataclass(frozen=True)
class Watched(PGD):
    """Writes down what it was asked to attack and the weights it met."""

    def perturb(self, model, batch):
        seen.append((self.objective.tasks, dict(self.objective.balance.weights), self.seed, first_weight(model)))
        return super().perturb(model, batch)


seen = []


def first_weight(net):
    return float(net.module.conv.weight.detach().flatten()[0])


def test_mao_attacks_each_combination_after_the_update_before():
    seen.clear()
    net, data = model(), batch()
    method = Mao(attack=Watched(steps=1, keep="last"), auxiliary_weight=0.1)
    assert method.sets(net.tasks) == (("digit",), ("digit", "angle"))
    optimiser, names = torch.optim.SGD(net.parameters(), 0.1), []
    for terms in method.steps(net, data, {}):
        names.append(set(terms))
        optimiser.zero_grad()
        sum(terms.values()).backward()
        optimiser.step()
    assert names == [{"digit.adv"}, {"digit.adv", "angle.adv"}]
    assert [entry[0] for entry in seen] == [("digit",), ("digit", "angle")]
    assert [entry[1] for entry in seen] == [{"digit": 1.0}, {"digit": 1.0, "angle": 0.1}]
    assert seen[0][2] != seen[1][2]  # other random starts
    assert seen[0][3] != seen[1][3]  # an update lies between the two attacks


def test_mao_descends_on_the_weighted_loss_it_attacked():
    net, data = model().eval(), batch()
    attack = PGD(steps=2, keep="last", objective=Objective(balance=Fixed({"digit": 1.0, "angle": 0.1})))
    want = Standard(weights={"angle": 0.1}).terms(net, data.with_images(attack(net, data).images))
    method = Mao(attack=replace(attack, objective=Objective()), auxiliary_weight=0.1)
    terms = replace(method, combinations=(("digit", "angle"),)).terms(net, data)
    for task in net.tasks:
        torch.testing.assert_close(terms[f"{task}.adv"], want[f"{task}.clean"])


def test_mao_refuses_combinations_of_other_tasks():
    with pytest.raises(
        TestudoError, match=r"unknown task \(in the method's combinations\) 'angel'; did you mean 'angle'"
    ):
        Mao(combinations=(("digit", "angel"),)).check(model().tasks)
