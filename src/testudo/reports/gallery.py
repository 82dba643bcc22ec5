"""Images for the page: clean, perturbation made visible, adversarial."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from testudo.reports import wording
from testudo.reports.study import Gallery


@dataclass(frozen=True)
class Line:
    """One task's prediction before and after; ``changed`` where the winner is another."""

    task: str
    truth: str
    before: str
    after: str
    changed: bool


@dataclass(frozen=True)
class Row:
    """One dense task's maps as data URIs, each by what it is."""

    task: str
    pictures: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Card:
    """One example for the template: three pictures as data URIs, and what they are."""

    group: str
    run: str
    example: str
    attack: str
    clean: str
    noise: str
    adversarial: str
    factor: str
    norms: str
    small: bool
    lines: tuple[Line, ...]
    maps: tuple[Row, ...]


def cards(gallery: Gallery) -> list[Card]:
    """A card for every example of the gallery."""
    parts = zip(gallery.images, gallery.adversarial, gallery.meta, strict=True)
    return [_card(np.asarray(clean, float), np.asarray(hit, float), meta, gallery.maps) for clean, hit, meta in parts]


def amplification(noise: NDArray[np.floating]) -> int:
    """The whole number by which a perturbation is multiplied to fill the grey scale, at least 1.

    >>> amplification(np.array([0.1, -0.05]))
    5
    """
    largest = float(np.abs(noise).max(initial=0))
    return max(1, int(0.5 / largest + 1e-3)) if largest > 0 else 1


def png(image: NDArray[np.floating]) -> str:
    """An image (C, H, W) in [0, 1] as a PNG data URI; one channel is grey, of more the first three are shown."""
    levels = np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)
    picture = Image.fromarray(levels[0] if len(levels) < 3 else np.moveaxis(levels[:3], 0, -1))
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"


def _card(
    clean: NDArray[np.floating], hit: NDArray[np.floating], meta: Mapping[str, Any], maps: NDArray[np.uint8]
) -> Card:
    noise = hit - clean
    factor = amplification(noise)
    lines = tuple(
        Line(line["task"], line["truth"], line["before"], line["after"], _changed(line["before"], line["after"]))
        for line in meta["task lines"]
    )
    return Card(
        group=meta["group"],
        run=meta["run"],
        example=str(meta["example"]),
        attack=meta["attack"],
        clean=png(clean),
        noise=png(0.5 + factor * noise),
        adversarial=png(hit),
        factor=f"×{factor}",
        norms=f"L∞ {wording.radius(float(meta['linf']))}, L2 {float(meta['l2']):.2f}",
        small=clean.shape[-1] <= 64,
        lines=lines,
        maps=tuple(_row(row, maps) for row in meta.get("task maps", ())),
    )


def _row(told: Mapping[str, Any], maps: NDArray[np.uint8]) -> Row:
    found = {name: np.moveaxis(maps[told[name]], -1, 0) / 255 for name in ("truth", "before", "after")}
    return Row(told["task"], tuple((name, png(picture)) for name, picture in found.items()))


def _changed(before: str, after: str) -> bool:
    """Whether another class wins, by the words before the probability: ``3 (97%)``."""
    return before.endswith("%)") and before.rpartition(" (")[0] != after.rpartition(" (")[0]
