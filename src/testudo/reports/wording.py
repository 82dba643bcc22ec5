"""Numbers, attacks and p-values as people read them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

FAMILIES = {
    "clean": "clean",
    "fgsm": "FGSM",
    "pgd": "PGD",
    "mim": "MIM",
    "apgd": "APGD",
    "fab": "FAB",
    "square": "Square",
    "noise": "noise",
    "siege": "Siege",
    "autoattack": "AutoAttack",
    "worst_case": "worst case",
}
NORMS = {"linf": "L∞", "l2": "L2", "l1": "L1"}
METRICS = {
    "accuracy": "accuracy (%)",
    "auroc": "AUROC",
    "error": "mean absolute error",
    "miou": "mIoU (%)",
    "pixel_accuracy": "pixel accuracy (%)",
    "l1": "L1 error",
    "aerr": "aErr",
    "relative": "relative error",
    "delta125": "δ < 1.25 (%)",
    "mdist": "mDist (°)",
    "median": "median angle (°)",
    "within11": "within 11.25° (%)",
    "within22": "within 22.5° (%)",
    "within30": "within 30° (%)",
    "delta_mtl": "Δ_MTL (%)",
    "delta_wor": "Δ_Wor (%)",
}
_PERCENT = frozenset(metric for metric, words in METRICS.items() if words.endswith("(%)"))


def noun(metric: str) -> str:
    """A metric's name without its unit.

    >>> noun("miou"), noun("mdist"), noun("mine")
    ('mIoU', 'mDist', 'mine')
    """
    return METRICS.get(metric, metric).partition(" (")[0]


def scaled(metric: str, value: float) -> float:
    """``value`` in the unit it is shown in: percent for shares and Delta, else as it is."""
    return 100 * value if metric in _PERCENT else value


def number(metric: str, value: float | None) -> str:
    """A metric's value, without its unit.

    >>> number("accuracy", 0.97249), number("delta_mtl", -0.5), number("auroc", 0.5), number("error", 12.345)
    ('97.2', '−50.0', '0.500', '12.3')
    >>> number("aerr", 55.0), number("aerr", 123.4)
    ('55.0', '123')
    """
    if value is None or math.isnan(value):
        return "–"
    shown = ".3f" if metric.startswith("auroc") else "z#.3g"
    text = f"{100 * value:z.1f}" if metric in _PERCENT else f"{value:{shown}}"
    return text.removesuffix(".").replace("-", "−")


def signed(metric: str, value: float) -> str:
    """A difference, with its sign.

    >>> signed("accuracy", 0.021), signed("accuracy", -0.0001)
    ('+2.1', '0.0')
    """
    text = number(metric, value)
    return f"+{text}" if value > 0 and text.strip("0.") else text


def between(metric: str, low: float, high: float) -> str:
    """An interval.

    >>> between("accuracy", 0.961, 0.98)
    '[96.1, 98.0]'
    """
    return f"[{number(metric, low)}, {number(metric, high)}]"


def with_unit(metric: str, value: float) -> str:
    """A metric's value with its unit, for running text."""
    return f"{number(metric, value)}\N{NO-BREAK SPACE}%" if metric in _PERCENT else number(metric, value)


def unit_of_difference(metric: str) -> str:
    """What a difference is counted in, with a leading space; empty for metrics without a unit."""
    return " points" if metric in _PERCENT else ""


def p_value(p: float) -> str:
    """A p-value to two significant digits.

    >>> p_value(0.0312), p_value(1e-9), p_value(1.0)
    ('0.031', '<0.001', '1')
    """
    return "<0.001" if p < 0.001 else f"{p:.2g}"


def p_values(values: Iterable[float], name: str = "p") -> str:
    """Several p-values, one per pair of seeds: ``p 0.03, 0.12``; empty for none."""
    texts = [p_value(p) for p in values]
    return f"{name} {', '.join(texts)}" if texts else ""


def tests(row: Mapping[str, Any]) -> tuple[str, ...]:
    """McNemar's tests of a comparison, and what Holm's correction leaves of each; on one line where there is one.

    >>> tests({"p_values": [0.01], "adjusted": [0.04]}), tests({"p_values": []})
    (('p 0.01; Holm 0.04',), ())
    >>> tests({"p_values": [0.01, 1e-9], "adjusted": [0.04, 1e-8]})
    ('p 0.01, <0.001', 'Holm 0.04, <0.001')
    """
    told = [p_values(row["p_values"]), p_values(row.get("adjusted", ()), "Holm")]
    shown = [text for text in told if text]
    return ("; ".join(shown),) if len(row["p_values"]) == 1 else tuple(shown)


def radius(eps: float) -> str:
    """An eps, in 255ths where it is a whole number of them and not a round decimal.

    >>> radius(8 / 255), radius(0.2), radius(0.125)
    ('8/255', '0.2', '0.125')
    """
    return f"{round(eps * 255)}/255" if in_levels(eps) else f"{eps:.4g}"


def in_levels(eps: float) -> bool:
    """Whether ``eps`` is best told in 255ths."""
    round_decimal = abs(eps * 100 - round(eps * 100)) < 1e-6
    return not round_decimal and round(eps * 255) > 0 and abs(eps * 255 - round(eps * 255)) < 1e-3


def method(family: str, steps: int) -> str:
    """An attack's name: ``PGD-20``, ``FGSM``."""
    name = FAMILIES.get(family, family)
    return f"{name}-{steps}" if steps > 1 else name


def listed(names: Iterable[str]) -> str:
    """Names in a sentence.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    *first, last = list(names) or [""]
    return f"{', '.join(first)} and {last}" if first else last


def counted(n: int, thing: str) -> str:
    """A number of things.

    >>> counted(1, "seed"), counted(12000, "example")
    ('1 seed', '12,000 examples')
    """
    return f"{n:,} {thing}{'' if n == 1 else 's'}"


def short(value: Any) -> str:
    """A number to four significant digits, whole ones in full; anything else as it is.

    >>> short(0.123456), short(-1234567.8), short(600), short(2e-9), short(float("nan")), short("macro")
    ('0.1235', '−1,234,568', '600', '2e−09', '–', 'macro')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or 1000 <= abs(value) < 1e9:
        return f"{value:,.0f}".replace("-", "−")
    return f"{value:.4g}".replace("-", "−")
