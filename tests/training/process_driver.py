"""Two steps of every method, on one process or a part of several: run by torchrun, or imported by the test."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch

import testudo as td
from testudo import tensor_file
from testudo.balance.gramian import MGDA
from testudo.balance.softmin import Softmin
from testudo.data.batch import Batch
from testudo.models.multitask import MultiTaskModel
from testudo.models.resnet import PreActResNet18
from testudo.processes import count, joined, part, rank
from testudo.registry import METHODS, PRETEXTS
from testudo.training.methods.free import Free
from testudo.training.methods.madry import Madry
from testudo.training.methods.standard import Standard
from testudo.training.shared_norm import synchronised
from testudo.training.update import update_of

INNER = td.PGD(td.Linf(0.1), steps=2, keep="last")


def cases():
    """Every method, every way to balance, every self-supervised task."""
    found = {name: METHODS.get(name)() for name in METHODS.names()}
    found |= {name: Standard(pretexts=(PRETEXTS.get(name)(),)) for name in PRETEXTS.names()}
    found |= {name: METHODS.get(name)(attack=INNER) for name in ("gat", "gat_paper", "gat_code")}
    found["gat, turned"] = replace(found["gat_code"], main_sees="original", pretexts=(PRETEXTS.get("rotation")(),))
    found["free, turned"] = Free(threat=td.Linf(0.1), main_sees="original", pretexts=(PRETEXTS.get("rotation")(),))
    found["weighed by losses"] = Standard(balance=Softmin())
    found["weighed by gradients"] = Madry(attack=INNER, clean=0.5, balance=MGDA(normalise="none"))
    found["weighed at the features"] = Madry(attack=INNER, clean=0.5, balance=MGDA("features"))
    return found


def batches():
    """One of 14 real digits and one of 10, of which some, unevenly spread, lack a label."""
    whole = td.Digits().load("train").batch(range(24))
    digit, parity = whole.targets["digit"].clone(), whole.targets["parity"].clone()
    digit[1:4], parity[17:23] = -1, -1
    images = whole.images.double()
    return list(Batch(images, {"digit": digit, "parity": parity}, whole.ids).split(14))


def trained(method):
    """The weights after two batches, of which each process has its part."""
    tasks = [task for task in td.Digits().tasks() if task.name in ("digit", "parity")]
    tasks += [pretext.task for pretext in method.pretexts]
    model = MultiTaskModel(PreActResNet18(width=4).build(1), tasks, [0.5], [0.5]).double().train()
    method.check(model.tasks)
    states = {}
    optimiser = torch.optim.SGD(model.parameters(), 0.05)
    with synchronised(model):
        update = update_of(model, method, states)
        for batch in batches():
            mine = part(len(batch), rank(), count())
            posed = method.pose(batch[mine], model.tasks, torch.arange(len(batch))[mine])
            steps = method.steps(model, posed, states)
            while True:
                update.begin()
                with update.watching():
                    terms = next(steps, None)
                if terms is None:
                    break
                assert update.add(terms, 1.0) is None
                update.finish()
                optimiser.step()
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    with joined("cpu"):
        for case, chosen in cases().items():
            weights = trained(chosen)
            if rank() == 0:
                tensor_file.save(Path(sys.argv[1]) / f"{case}.safetensors", weights, {})
