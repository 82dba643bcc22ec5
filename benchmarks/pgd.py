"""PGD-10, Linf, on a width-32 pre-activation ResNet-18 with 128 images of 3x32x32: ours, a bare loop, the peers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import testudo as td
from benchmarks.timing import as_table, take_turns

EPS, STEP, STEPS = 8 / 255, 2 / 255, 10
TARGETS = {"testudo, float32": 1.03, "testudo, bf16": 0.40, "testudo, bf16, compiled": 0.25}  # bf16: with AMX


class Logits(nn.Module):
    """The model as the peers want it: images in, one tensor out."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """The logits of the one task."""
        return self.model(images)["object"]


def bare_loop(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """The floor: what one writes by hand, on frozen parameters, with nothing checked or scored."""
    x = (images + torch.empty_like(images).uniform_(-EPS, EPS)).clamp(0, 1)
    for _ in range(STEPS):
        x.requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(model(x), labels), x)
        x = x.detach() + STEP * gradient.sign()
        x = torch.min(torch.max(x, images - EPS), images + EPS).clamp(0, 1)
    return x


def made() -> tuple[td.MultiTaskModel, Tensor, Tensor]:
    """The model, images and labels of this benchmark."""
    task = td.Classification("object", classes=10)
    model = td.MultiTaskModel(td.PreActResNet18(width=32).build(3), [task], [0.5] * 3, [0.25] * 3)
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():  # running statistics as after some training, so that nothing is the identity
        model(torch.rand(128, 3, 32, 32, generator=draw))
    images, labels = torch.rand(128, 3, 32, 32, generator=draw), torch.randint(10, (128,), generator=draw)
    return model.eval().requires_grad_(False), images, labels


def peers(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, Callable[[], object]]:
    """The same attack by torchattacks, foolbox and ART."""
    import foolbox
    import torchattacks
    from art.attacks.evasion import ProjectedGradientDescentPyTorch
    from art.estimators.classification import PyTorchClassifier

    theirs = torchattacks.PGD(model, eps=EPS, alpha=STEP, steps=STEPS, random_start=True)
    native = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    attack = foolbox.attacks.LinfPGD(abs_stepsize=STEP, steps=STEPS, random_start=True)
    classifier = PyTorchClassifier(model, F.cross_entropy, (3, 32, 32), 10, clip_values=(0.0, 1.0), device_type="cpu")
    art = ProjectedGradientDescentPyTorch(
        classifier, eps=EPS, eps_step=STEP, max_iter=STEPS, num_random_init=1, batch_size=128, verbose=False
    )
    return {
        "torchattacks": lambda: theirs(images, labels),
        "foolbox": lambda: attack(native, images, labels, epsilons=EPS),
        "ART": lambda: art.generate(images.numpy(), labels.numpy()),
    }


@contextmanager
def quiet() -> Iterator[None]:
    """Without the peers' warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def run(turns: int = 3) -> list[str]:
    """Markdown lines with the result."""
    model, images, labels = made()
    logits = Logits(model)
    batch = td.Batch(images, {"object": labels})
    attack = td.PGD(threat=td.Linf(EPS), steps=STEPS, step=STEP)
    copies = {
        "testudo, float32": td.fast(model, "float32"),
        "testudo, float32, compiled": td.fast(model, "float32", compile=True),
        "testudo, bf16": td.fast(model, "bf16"),
        "testudo, bf16, compiled": td.fast(model, "bf16", compile=True),
    }
    arms: dict[str, Callable[[], object]] = {
        "bare loop, float32 (the floor)": lambda: bare_loop(logits, images, labels)
    }
    arms |= {name: lambda copy=copy: attack(copy, batch) for name, copy in copies.items()}
    arms["testudo, making the copy too"] = lambda: attack(model, batch)
    with quiet():
        arms |= peers(logits, images, labels)
        told = take_turns(arms, turns)
    default = td.fast(model).precision
    return [
        "## PGD-10, Linf 8/255, width-32 pre-activation ResNet-18, 128 images of 3x32x32",
        "",
        f"The default precision on this machine is {default}: bf16 is taken only where the device computes it natively "
        "(AMX, CUDA). Ours keeps the worst image seen and scores it in float32, which the floor and the peers do not.",
        "",
        *as_table(told, TARGETS),
    ]
