"""Images for the page: clean, perturbation made visible, adversarial; in one ball or in several."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from testudo.reports import wording
from testudo.reports.study import Gallery


@dataclass(frozen=True)
class After:
    """A prediction on an attacked image; ``changed`` where another class wins than before."""

    text: str
    changed: bool


@dataclass(frozen=True)
class Line:
    """One task's truth and predictions: before, and after in each ball."""

    task: str
    truth: str
    before: str
    after: tuple[After, ...]


@dataclass(frozen=True)
class Maps:
    """One dense task's maps as data URIs: truth, prediction before, and after in each ball."""

    task: str
    truth: str
    before: str
    after: tuple[str, ...]


@dataclass(frozen=True)
class Level:
    """What was made in one ball: two pictures as data URIs, and what they are."""

    eps: str
    attack: str
    noise: str
    adversarial: str
    factor: str
    norms: str


@dataclass(frozen=True)
class Card:
    """One example for the template: its picture as a data URI, what was made of it, and what is said of that."""

    group: str
    run: str
    example: str
    clean: str
    small: bool
    levels: tuple[Level, ...]
    lines: tuple[Line, ...]
    maps: tuple[Maps, ...]


def cards(gallery: Gallery) -> list[Card]:
    """A card for every example of the gallery; attacks that differ in eps alone are levels of one, by eps."""
    alike: dict[tuple[Any, ...], list[int]] = {}
    for place, meta in enumerate(gallery.meta):
        series = (meta["series"],) if "series" in meta else (meta["attack"], place)
        tasks = tuple(told["task"] for part in ("task lines", "task maps") for told in meta.get(part, ()))
        alike.setdefault((meta["group"], meta["run"], meta["example"], *series, tasks), []).append(place)
    ordered = (sorted(places, key=lambda place: _eps(gallery.meta[place])) for places in alike.values())
    return [_card(gallery, places) for places in ordered]


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


def _eps(meta: Mapping[str, Any]) -> float:
    return float(meta.get("eps", 0.0))


def _card(gallery: Gallery, places: Sequence[int]) -> Card:
    told = [gallery.meta[place] for place in places]
    clean = np.asarray(gallery.images[places[0]], float)
    return Card(
        group=told[0]["group"],
        run=told[0]["run"],
        example=str(told[0]["example"]),
        clean=png(clean),
        small=clean.shape[-1] <= 64,
        levels=tuple(_level(gallery, place) for place in places),
        lines=tuple(_line(each) for each in zip(*(meta["task lines"] for meta in told), strict=True)),
        maps=tuple(
            _maps(each, gallery.maps) for each in zip(*(meta.get("task maps", ()) for meta in told), strict=True)
        ),
    )


def _level(gallery: Gallery, place: int) -> Level:
    clean, hit = (np.asarray(images[place], float) for images in (gallery.images, gallery.adversarial))
    noise, meta = hit - clean, gallery.meta[place]
    factor = amplification(noise)
    return Level(
        eps=wording.radius(_eps(meta)),
        attack=meta["attack"],
        noise=png(0.5 + factor * noise),
        adversarial=png(hit),
        factor=f"×{factor}",
        norms=f"L∞ {wording.radius(float(meta['linf']))}, L2 {float(meta['l2']):.2f}",
    )


def _line(told: Sequence[Mapping[str, str]]) -> Line:
    first = told[0]
    after = tuple(After(each["after"], _changed(first["before"], each["after"])) for each in told)
    return Line(first["task"], first["truth"], first["before"], after)


def _maps(told: Sequence[Mapping[str, Any]], maps: NDArray[np.uint8]) -> Maps:
    first = told[0]
    drawn = [_drawn(maps[number]) for number in (first["truth"], first["before"], *(each["after"] for each in told))]
    return Maps(first["task"], *drawn[:2], tuple(drawn[2:]))


def _drawn(picture: NDArray[np.uint8]) -> str:
    return png(np.moveaxis(picture, -1, 0) / 255)


def _changed(before: str, after: str) -> bool:
    """Whether another class wins, by the words before the probability: ``3 (97%)``."""
    return before.endswith("%)") and before.rpartition(" (")[0] != after.rpartition(" (")[0]
