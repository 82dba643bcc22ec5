"""Which attacks the page shows in pictures."""

from __future__ import annotations

import torch

from testudo.attacks.pgd import PGD
from testudo.attacks.threat import Linf
from testudo.studies.gallery import _attacks, in_every_ball
from testudo.studies.joint import Joint
from testudo.studies.quickstart import Quickstart


def test_every_radius_of_the_attack_that_is_named():
    study = Quickstart(linf=(0.05, 0.1, 0.2))
    for variant in study.variants():
        (named,) = study.gallery(variant)
        found = _attacks(study, variant, numbers=64)
        assert [float(attack.threat.eps) for _, _, attack in found] == [0.05, 0.1, 0.2]
        assert {series for series, _, _ in found} == {named}
        assert all(variant.recipe.suite[name] == attack for _, name, attack in found)


def test_steps_that_go_with_the_radius_make_no_other_attack():
    """PGD with steps of eps / 4, and the three balances of it apart."""
    study = Joint()
    variant = study.variants()[0]
    found = _attacks(study, variant, numbers=3 * 48 * 64)
    assert [series for series, _, _ in found] == [name for name in study.gallery(variant) for _ in study.linf]
    assert len({name for _, name, _ in found}) == 9


def test_of_large_images_the_named_attack_alone():
    study = Quickstart()
    for variant in study.variants():
        found = _attacks(study, variant, numbers=3 * 288 * 384)
        assert [name for _, name, _ in found] == list(study.gallery(variant))


def test_masked_balls_are_not_mixed():
    mask = torch.ones(1, 8, 8, dtype=torch.bool)
    suite = {"all": PGD(Linf(0.1)), "some": PGD(Linf(0.2, mask=mask)), "more": PGD(Linf(0.3, mask=mask))}
    assert list(in_every_ball(suite, "all")) == ["all"]
    assert list(in_every_ball(suite, "some")) == ["some", "more"]
