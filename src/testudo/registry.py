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
        "friendly": "testudo.attacks.friendly:Friendly",
        "apgd": "testudo.attacks.apgd:APGD",
        "siege": "testudo.attacks.siege:Siege",
        "worst_case": "testudo.attacks.ensemble:WorstCase",
        "autoattack": "testudo.attacks.ensemble:AutoAttack",
        "fab": "testudo.attacks.fab:FAB",
        "square": "testudo.attacks.square:Square",
        "noise": "testudo.attacks.noise:Noise",
    },
)
THREATS = Registry(
    "threat",
    "threats",
    {
        "linf": "testudo.attacks.threat:Linf",
        "l2": "testudo.attacks.threat:L2",
        "l1": "testudo.attacks.threat:L1",
    },
)
SURROGATES = Registry(
    "surrogate",
    "surrogates",
    {
        "loss": "testudo.attacks.surrogates:TaskLoss",
        "cross_entropy": "testudo.attacks.surrogates:CrossEntropy",
        "margin": "testudo.attacks.surrogates:Margin",
        "dlr": "testudo.attacks.surrogates:DLR",
        "masked_cross_entropy": "testudo.attacks.surrogates:MaskedCrossEntropy",
        "jensen_shannon": "testudo.attacks.surrogates:JensenShannon",
        "houdini": "testudo.attacks.houdini:Houdini",
        "drift": "testudo.attacks.drift:Drift",
        "bce": "testudo.attacks.label_surrogates:BinaryCrossEntropy",
        "multilabel_margin": "testudo.attacks.label_surrogates:MultiLabelMargin",
        "l1": "testudo.attacks.number_surrogates:L1Error",
        "l2": "testudo.attacks.number_surrogates:L2Error",
        "cosine": "testudo.attacks.number_surrogates:Cosine",
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
        "softmin": "testudo.balance.softmin:Softmin",
        "even_progress": "testudo.balance.even_progress:EvenProgress",
        "stealthy": "testudo.balance.stealthy:Stealthy",
        "mgda": "testudo.balance.gramian:MGDA",
        "mgda_floored": "testudo.balance.floored:FlooredMGDA",
        "mgda_preferred": "testudo.balance.preferred:PreferredMGDA",
        "imtlg": "testudo.balance.gramian:IMTLG",
        "upgrad": "testudo.balance.gramian:UPGrad",
        "dualproj": "testudo.balance.gramian:DualProj",
        "pcgrad": "testudo.balance.surgery:PCGrad",
        "gradvac": "testudo.balance.surgery:GradVac",
        "alignedmtl": "testudo.balance.through_torchjd:AlignedMTL",
    },
)
TASKS = Registry(
    "task",
    "tasks",
    {
        "classification": "testudo.tasks.classification:Classification",
        "multilabel": "testudo.tasks.classification:MultiLabel",
        "regression": "testudo.tasks.regression:Regression",
        "segmentation": "testudo.tasks.segmentation:Segmentation",
        "depth": "testudo.tasks.depth:Depth",
        "disparity": "testudo.tasks.depth:Disparity",
        "log_depth": "testudo.tasks.log_depth:LogDepth",
        "normals": "testudo.tasks.normals:Normals",
        "reshading": "testudo.tasks.maps:Reshading",
        "curvature": "testudo.tasks.maps:Curvature",
        "edges": "testudo.tasks.maps:Edges",
        "keypoints": "testudo.tasks.maps:Keypoints",
        "autoencoder": "testudo.tasks.maps:Autoencoder",
        "hog": "testudo.tasks.maps:HOG",
        "contrast": "testudo.tasks.contrast:Contrast",
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
        "nih": "testudo.data.xray:NIH",
        "chexpert": "testudo.data.chexpert:CheXpert",
        "stl10": "testudo.data.stl10:STL10",
        "robin": "testudo.data.robin:ROBIN",
        "array": "testudo.data.array:Array",
        "fraction": "testudo.data.fraction:Fraction",
        "extended": "testudo.data.extended:Extended",
        "nyuv2": "testudo.data.nyuv2:NYUv2",
        "cityscapes": "testudo.data.cityscapes:Cityscapes",
        "taskonomy": "testudo.data.taskonomy:Taskonomy",
        "scenes": "testudo.data.scenes:Scenes",
    },
)
DERIVED = Registry(
    "derived label",
    "derived",
    {
        "relabel": "testudo.data.derived:Relabel",
        "image": "testudo.data.pixel_labels:ImageLabel",
        "sobel": "testudo.data.pixel_labels:SobelLabel",
        "canny": "testudo.data.pixel_labels:CannyLabel",
        "harris": "testudo.data.pixel_labels:HarrisLabel",
        "hog": "testudo.data.pixel_labels:HogLabel",
        "occlusion": "testudo.data.pixel_labels:OcclusionLabel",
    },
)
PRETEXTS = Registry(
    "pretext",
    "pretexts",
    {
        "rotation": "testudo.data.rotation:Rotation",
        "jigsaw": "testudo.data.jigsaw:Jigsaw",
        "contrastive": "testudo.data.contrastive:ContrastiveViews",
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
        "unet": "testudo.models.unet:UNet",
        "drn_d_22": "testudo.models.drn:DRND22",
        "drn_d_105": "testudo.models.drn:DRND105",
        "resnet50_aspp": "testudo.models.aspp:ResNet50ASPP",
    },
)
METHODS = Registry(
    "method",
    "methods",
    {
        "standard": "testudo.training.methods.standard:Standard",
        "madry": "testudo.training.methods.madry:Madry",
        "mao": "testudo.training.methods.mao:Mao",
        "gat": "testudo.training.methods.gat:GAT",
        "gat_paper": "testudo.training.methods.gat:GATPaper",
        "gat_code": "testudo.training.methods.gat:GATCode",
        "goodfellow": "testudo.training.methods.goodfellow:Goodfellow",
        "trades": "testudo.training.methods.trades:Trades",
        "mart": "testudo.training.methods.mart:Mart",
        "fast": "testudo.training.methods.fast:Fast",
        "free": "testudo.training.methods.free:Free",
        "fat": "testudo.training.methods.fat:Fat",
        "awp": "testudo.training.methods.awp:AWP",
        "hendrycks": "testudo.training.methods.hendrycks:Hendrycks",
        "contrastive": "testudo.training.methods.contrastive:Contrastive",
    },
)
STUDIES = Registry(
    "study",
    "studies",
    {
        "quickstart": "testudo.studies.quickstart:Quickstart",
        "joint": "testudo.studies.joint:Joint",
        "hardening": "testudo.studies.hardening:Hardening",
        "auxiliaries": "testudo.studies.auxiliaries:Auxiliaries",
    },
)

PARTNERS = Registry(
    "partner",
    "partners",
    {
        "cutmix": "testudo.training.partners.cutmix:CutMix",
        "maxup": "testudo.training.partners.maxup:MaxUp",
    },
)

FAMILIES = {
    family.plural: family
    for family in (
        ATTACKS,
        THREATS,
        SURROGATES,
        BALANCES,
        TASKS,
        DATA,
        DERIVED,
        PRETEXTS,
        PARTNERS,
        MODELS,
        METHODS,
        STUDIES,
    )
}
