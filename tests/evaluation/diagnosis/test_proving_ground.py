"""Every fake is flagged by the check that knows its trick; every honest model is left alone."""

from __future__ import annotations

import pytest
from evaluation.diagnosis import fakes
from evaluation.diagnosis.conftest import BALL

from testudo.attacks.threat import L1, L2
from testudo.evaluation.diagnosis.substitute import substitute
from testudo.models.wrap import wrap

# Around the plain network, or trained by itself: the checks that must fail, and words of the first one's reason.
AROUND = {
    fakes.ScaledLogits: (("gradients", "autoattack gap", "unbounded"), "their scale that hides it"),
    fakes.FlatLogits: (("gradients",), "their scale that hides it"),
    fakes.Quantised: (("gradients", "surface", "black box", "autoattack gap", "unbounded"), "has no derivative"),
    fakes.JPEG: (("gradients", "surface", "black box", "autoattack gap", "unbounded"), "has no derivative"),
    fakes.Rippled: (("surface", "one step", "black box", "autoattack gap"), "ripples"),
}
TRAINED = {
    "median": (lambda: fakes.Median(fakes.network()), ("gradients", "surface", "black box"), "has no derivative"),
    "noise": (lambda: fakes.Noisy(fakes.network()), ("randomness",), "draws random numbers"),
    "resize": (lambda: fakes.Resized(fakes.network()), ("randomness",), "draws random numbers"),
    "saturated": (lambda: fakes.network(act=fakes.Saturated), ("gradients", "surface", "black box"), "saturates"),
    "batch norm": (lambda: fakes.network(norm=fakes.batch_norm), ("neighbours",), "takes the batch's statistics"),
}


def flagged(diagnosis, verdict="fail"):
    """The checks that say so."""
    return {finding.check for finding in diagnosis.findings if finding.verdict == verdict}


def told_why(diagnosis, checks, reason):
    """Each check fails, and the first of them says the reason."""
    assert diagnosis.verdict == "fail"
    assert set(checks) <= flagged(diagnosis), diagnosis.markdown()
    assert reason in diagnosis.of(checks[0]).said


@pytest.mark.parametrize("fake", AROUND, ids=lambda fake: fake.__name__)
def test_fakes_around_a_network(examine, plain, fake):
    checks, reason = AROUND[fake]
    told_why(examine(fake(plain)), checks, reason)


def test_a_reversed_gradient_leads_to_better_images(examine, plain):
    checks = ("surface", "black box", "autoattack gap", "unbounded", "above clean")
    told_why(examine(fakes.Reversed(plain), examples=200), checks, "agrees with it by -1.00")


@pytest.mark.parametrize("name", TRAINED)
def test_fakes_that_are_trained(examine, name):
    make, checks, reason = TRAINED[name]
    told_why(examine(fakes.trained(make, 10)), checks, reason)


def test_contrastive_features_without_adversarial_training(examine):
    told_why(examine(fakes.contrastive()), ("gradients", "autoattack gap"), "their scale that hides it")


def test_a_loss_squeezed_by_label_smoothing(examine):
    """No trick: PGD climbs a loss that says little, and overrates it; a warning, with the reason."""
    found = examine(fakes.squeezed()).of("autoattack gap")
    assert found.verdict == "warn"
    assert "climbs the wrong loss" in found.said


HONEST = [("plain", BALL), ("hardened", BALL), ("hardened", L2(0.7)), ("hardened", L1(2.0))]


@pytest.mark.parametrize(("which", "threat"), HONEST)
def test_honest_networks_pass(examine, request, which, threat):
    diagnosis = examine(request.getfixturevalue(which), threat)
    assert flagged(diagnosis) == set(), diagnosis.markdown()
    assert flagged(diagnosis, "pass") >= {"randomness", "neighbours", "gradients", "surface", "one step", "black box"}


def test_a_linear_model_does_not_fail(examine):
    """Its gradients are exact; that PGD on the cross-entropy is not the best attack on it is a warning at most."""
    diagnosis = examine(fakes.linear())
    assert flagged(diagnosis) == set(), diagnosis.markdown()
    assert diagnosis.of("surface").numbers["agreement"] > 0.99


def test_images_of_a_substitute_betray_a_ripple_and_no_honest_network(examine, hardened, plain):
    images = fakes.digits("train").batch(range(600)).images
    for module, verdict in ((fakes.Rippled(plain), "fail"), (hardened, "pass")):
        model = wrap(module, [fakes.DIGIT])
        assert examine(module, twin=substitute(model, images, ["digit"])).of("transfer").verdict == verdict
