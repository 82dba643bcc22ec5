"""The small network all fakes are built around, and one that is hardened; trained once."""

from __future__ import annotations

import pytest
import torch
from evaluation.diagnosis import fakes

from testudo.attacks.threat import Linf
from testudo.evaluation.diagnosis.battery import Battery
from testudo.evaluation.diagnosis.diagnose import Examination, diagnose
from testudo.models.wrap import wrap

BALL = Linf(0.15)
QUICK = Battery(steps=10, restarts=3, longer=30, strong=8, queries=120, draws=20, unbounded=20)


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def plain():
    """Trained as usual: honestly weak."""
    return fakes.trained(fakes.network)


@pytest.fixture(scope="session")
def hardened():
    """Madry's training: honestly robust."""
    return fakes.hardened()


@pytest.fixture
def examine():
    """Diagnose a network on 120 digits, in Linf 0.15, with a quick battery."""

    def run(module, threat=BALL, examples=120, twin=None):
        model, how = wrap(module, [fakes.DIGIT]), Examination(examples, QUICK)
        return diagnose(model, fakes.digits("test"), threat, (), twin, how)

    return run
