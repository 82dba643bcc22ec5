"""Names for the package's parts: name -> "module:Class", imported only when asked for."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from testudo.errors import TestudoError, unknown


class Registry:
    """One family of named parts, open to other packages through entry points.

    A package adds to it with ``[project.entry-points."testudo.attacks"] mine = "my_package:MyAttack"``,
    a script with :meth:`register`.

    >>> Registry("colour", "colours", {"red": "fractions:Fraction"}).get("red").__name__
    'Fraction'
    """

    def __init__(self, kind: str, plural: str, builtin: dict[str, str]) -> None:
        self.kind = kind
        self.plural = plural
        self._targets: dict[str, str | type] = dict(builtin)
        self._scanned = False

    def register(self, name: str, target: str | type) -> None:
        """Add ``name``; raises TestudoError where the name is taken by something else."""
        known = self._targets.get(name)
        if known is not None and _path(known) != _path(target):
            raise TestudoError(f"{self.kind} {name!r} is already taken by {known!r}")
        self._targets[name] = target

    def names(self) -> list[str]:
        """Every name, sorted."""
        self._scan()
        return sorted(self._targets)

    def get(self, name: str) -> Any:
        """The class called ``name``; raises TestudoError with the nearest name where there is none."""
        self._scan()
        if name not in self._targets:
            raise unknown(self.kind, name, self._targets)
        target = self._targets[name]
        if isinstance(target, str):
            module, _, attribute = target.partition(":")
            target = getattr(import_module(module), attribute)
            self._targets[name] = target
        return target

    def name_of(self, cls: type) -> str:
        """The name under which ``cls`` is registered."""
        self._scan()
        path = _path(cls)
        for name, target in self._targets.items():
            if target is cls or target == path:
                return name
        raise TestudoError(f"{cls.__qualname__} is not a registered {self.kind}; see Registry.register")

    def _scan(self) -> None:
        if self._scanned:
            return
        self._scanned = True
        for point in entry_points(group=f"testudo.{self.plural}"):
            self.register(point.name, point.value)


def _path(target: str | type) -> str:
    return target if isinstance(target, str) else f"{target.__module__}:{target.__qualname__}"


ATTACKS = Registry(
    "attack",
    "attacks",
    {
        "fgsm": "testudo.attacks.fgsm:FGSM",
        "pgd": "testudo.attacks.pgd:PGD",
        "mim": "testudo.attacks.mim:MIM",
    },
)
THREATS = Registry(
    "threat",
    "threats",
    {
        "linf": "testudo.attacks.threat:Linf",
        "l2": "testudo.attacks.threat:L2",
    },
)
SURROGATES = Registry(
    "surrogate",
    "surrogates",
    {
        "loss": "testudo.attacks.surrogates:TaskLoss",
        "margin": "testudo.attacks.surrogates:Margin",
    },
)
BALANCES = Registry(
    "balance",
    "balances",
    {
        "equal": "testudo.balance.fixed:Equal",
        "fixed": "testudo.balance.fixed:Fixed",
        "normalised": "testudo.balance.normalised:Normalised",
        "minmax": "testudo.balance.minmax:MinMax",
    },
)
TASKS = Registry(
    "task",
    "tasks",
    {
        "classification": "testudo.tasks.classification:Classification",
        "multilabel": "testudo.tasks.classification:MultiLabel",
        "regression": "testudo.tasks.regression:Regression",
    },
)
DATA = Registry(
    "data set",
    "data",
    {
        "digits": "testudo.data.digits:Digits",
        "cifar10": "testudo.data.cifar:CIFAR10",
        "cifar100": "testudo.data.cifar:CIFAR100",
        "manifest": "testudo.data.manifest:Manifest",
    },
)
MODELS = Registry(
    "model",
    "models",
    {
        "resnet18": "testudo.models.resnet:ResNet18",
        "resnet34": "testudo.models.resnet:ResNet34",
        "preact_resnet18": "testudo.models.resnet:PreActResNet18",
        "resnet50v2": "testudo.models.resnet:ResNet50v2",
        "wrn28_10": "testudo.models.wide_resnet:WRN28x10",
        "wrn70_16": "testudo.models.wide_resnet:WRN70x16",
    },
)
METHODS = Registry(
    "method",
    "methods",
    {
        "standard": "testudo.training.methods.standard:Standard",
        "madry": "testudo.training.methods.madry:Madry",
        "mao": "testudo.training.methods.mao:Mao",
    },
)
STUDIES = Registry("study", "studies", {"quickstart": "testudo.studies.quickstart:Quickstart"})

FAMILIES = {r.plural: r for r in (ATTACKS, THREATS, SURROGATES, BALANCES, TASKS, DATA, MODELS, METHODS, STUDIES)}
