"""testudo: measure and strengthen the adversarial robustness of multi-task vision models.

The public names are imported when first used, so that ``import testudo`` is quick and result rows can be
read on a machine without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_NAMES = {
    "TestudoError": "errors:TestudoError",
    "Batch": "data.batch:Batch",
    "Examples": "data.dataset:Examples",
    "DataSet": "data.dataset:DataSet",
    "Loader": "data.loader:Loader",
    "Augment": "data.augment:Augment",
    "Relabel": "data.derived:Relabel",
    "Digits": "data.digits:Digits",
    "CIFAR10": "data.cifar:CIFAR10",
    "CIFAR100": "data.cifar:CIFAR100",
    "Manifest": "data.manifest:Manifest",
    "NYUv2": "data.nyuv2:NYUv2",
    "NIH": "data.xray:NIH",
    "Task": "tasks.task:Task",
    "Classification": "tasks.classification:Classification",
    "MultiLabel": "tasks.classification:MultiLabel",
    "Regression": "tasks.regression:Regression",
    "Segmentation": "tasks.segmentation:Segmentation",
    "Depth": "tasks.dense:Depth",
    "Normals": "tasks.dense:Normals",
    "classification": "tasks.classification:Classification",
    "multilabel": "tasks.classification:MultiLabel",
    "regression": "tasks.regression:Regression",
    "segmentation": "tasks.segmentation:Segmentation",
    "depth": "tasks.dense:Depth",
    "normals": "tasks.dense:Normals",
    "Balance": "balance.base:Balance",
    "Equal": "balance.fixed:Equal",
    "Fixed": "balance.fixed:Fixed",
    "Normalised": "balance.normalised:Normalised",
    "MinMax": "balance.minmax:MinMax",
    "Softmin": "balance.softmin:Softmin",
    "Stealthy": "balance.stealthy:Stealthy",
    "MGDA": "balance.gramian:MGDA",
    "IMTLG": "balance.gramian:IMTLG",
    "UPGrad": "balance.gramian:UPGrad",
    "DualProj": "balance.gramian:DualProj",
    "PCGrad": "balance.surgery:PCGrad",
    "GradVac": "balance.surgery:GradVac",
    "AlignedMTL": "balance.through_torchjd:AlignedMTL",
    "Model": "models.model:Model",
    "MultiTaskModel": "models.multitask:MultiTaskModel",
    "Encoder": "models.encoder:Encoder",
    "ResNet18": "models.resnet:ResNet18",
    "ResNet34": "models.resnet:ResNet34",
    "PreActResNet18": "models.resnet:PreActResNet18",
    "ResNet50v2": "models.resnet:ResNet50v2",
    "WRN28x10": "models.wide_resnet:WRN28x10",
    "WRN70x16": "models.wide_resnet:WRN70x16",
    "UNet": "models.unet:UNet",
    "wrap": "models.wrap:wrap",
    "fast": "models.fast:fast",
    "Threat": "attacks.threat:Threat",
    "Linf": "attacks.threat:Linf",
    "L2": "attacks.threat:L2",
    "L1": "attacks.threat:L1",
    "Objective": "attacks.objective:Objective",
    "Surrogate": "attacks.surrogates:Surrogate",
    "TaskLoss": "attacks.surrogates:TaskLoss",
    "CrossEntropy": "attacks.surrogates:CrossEntropy",
    "Margin": "attacks.surrogates:Margin",
    "DLR": "attacks.surrogates:DLR",
    "JensenShannon": "attacks.surrogates:JensenShannon",
    "MaskedCrossEntropy": "attacks.surrogates:MaskedCrossEntropy",
    "Custom": "attacks.surrogates:Custom",
    "BinaryCrossEntropy": "attacks.label_surrogates:BinaryCrossEntropy",
    "MultiLabelMargin": "attacks.label_surrogates:MultiLabelMargin",
    "L1Error": "attacks.number_surrogates:L1Error",
    "L2Error": "attacks.number_surrogates:L2Error",
    "Cosine": "attacks.number_surrogates:Cosine",
    "Houdini": "attacks.houdini:Houdini",
    "Attack": "attacks.base:Attack",
    "Attacked": "attacks.base:Attacked",
    "FGSM": "attacks.fgsm:FGSM",
    "PGD": "attacks.pgd:PGD",
    "MIM": "attacks.mim:MIM",
    "APGD": "attacks.apgd:APGD",
    "Siege": "attacks.siege:Siege",
    "FAB": "attacks.fab:FAB",
    "Square": "attacks.square:Square",
    "Noise": "attacks.noise:Noise",
    "Ensemble": "attacks.ensemble:Ensemble",
    "AutoAttack": "attacks.ensemble:AutoAttack",
    "WorstCase": "attacks.ensemble:WorstCase",
    "Method": "training.methods.base:Method",
    "Standard": "training.methods.standard:Standard",
    "Madry": "training.methods.madry:Madry",
    "Mao": "training.methods.mao:Mao",
    "Optimiser": "training.optimiser:Optimiser",
    "Schedule": "training.optimiser:Schedule",
    "Trainer": "training.trainer:Trainer",
    "Evaluation": "evaluation.evaluate:Evaluation",
    "evaluate": "evaluation.evaluate:evaluate",
    "summarise": "evaluation.summarise:summarise",
    "worst_case": "evaluation.worst:worst_case",
    "compare": "evaluation.significance:compare",
    "Recipe": "recipe:Recipe",
    "Run": "run:Run",
    "train": "run:train",
    "load": "run:load",
}

__all__ = sorted(_NAMES)
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'testudo' has no attribute {name!r}")
    module, _, attribute = _NAMES[name].partition(":")
    return getattr(import_module(f"testudo.{module}"), attribute)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
