"""The colours of a room: its woods, cloths, walls and floor, chosen so that they go together."""

from __future__ import annotations

from typing import NamedTuple

from testudo.data.rooms.dice import Dice
from testudo.data.rooms.solids import Colour, Look

# dark and light of each wood, in linear RGB as all colours here
WOODS: tuple[tuple[Colour, Colour], ...] = (
    ((0.20, 0.09, 0.03), (0.50, 0.28, 0.12)),
    ((0.34, 0.19, 0.08), (0.68, 0.45, 0.24)),
    ((0.06, 0.025, 0.012), (0.19, 0.085, 0.04)),
    ((0.42, 0.30, 0.18), (0.80, 0.64, 0.44)),
    ((0.28, 0.07, 0.025), (0.48, 0.17, 0.07)),
)
PAINTS: tuple[Colour, ...] = (
    (0.80, 0.78, 0.72), (0.74, 0.66, 0.50), (0.50, 0.62, 0.68), (0.55, 0.66, 0.48), (0.72, 0.52, 0.42),
    (0.62, 0.58, 0.66), (0.78, 0.70, 0.42), (0.42, 0.50, 0.56), (0.66, 0.30, 0.22), (0.24, 0.36, 0.40),
)  # fmt: skip
CLOTHS: tuple[Colour, ...] = (
    (0.45, 0.07, 0.06), (0.08, 0.16, 0.38), (0.10, 0.28, 0.14), (0.50, 0.40, 0.26), (0.25, 0.24, 0.24),
    (0.55, 0.30, 0.08), (0.06, 0.28, 0.30), (0.30, 0.10, 0.30), (0.70, 0.64, 0.54), (0.05, 0.05, 0.06),
    (0.62, 0.45, 0.10), (0.22, 0.12, 0.06),
)  # fmt: skip
WHITE, BLACK, STEEL, BRASS = (0.78, 0.77, 0.74), (0.015, 0.015, 0.017), (0.42, 0.43, 0.45), (0.55, 0.38, 0.12)


class Tones(NamedTuple):
    """The looks that the things of one room share."""

    wood: Look
    other_wood: Look
    cloth: Look
    accent: Look
    sheet: Look
    metal: Look
    wall: Look
    feature: Look
    floor: Look
    ceiling: Look
    trim: Look


def tones(dice: Dice) -> Tones:
    """The palette of a room."""
    pale = dice.between(0, 0.35)
    red, green, blue = (value + pale * (0.8 - value) for value in dice.pick(PAINTS))
    paint = (red, green, blue)
    wall = Look("plaster", shade(paint, 0.86), shade(paint, 1.14), (3.0, 3.0))
    return Tones(
        wood=wood(dice),
        other_wood=wood(dice) if dice.chance(0.6) else painted(WHITE),
        cloth=cloth(dice, dice.pick(CLOTHS)),
        accent=cloth(dice, dice.pick(CLOTHS)),
        sheet=Look("cloth", (0.62, 0.60, 0.56), (0.86, 0.84, 0.80), (1.2, 1.2)),
        metal=painted(dice.pick((STEEL, BRASS, BLACK))),
        wall=wall,
        feature=_feature(dice, paint) if dice.chance(0.55) else wall,
        floor=_floor(dice),
        ceiling=Look("plaster", (0.70, 0.69, 0.66), (0.84, 0.83, 0.80), (4.0, 4.0)),
        trim=painted(WHITE if dice.chance(0.8) else (0.2, 0.1, 0.05)),
    )


def shade(colour: Colour, factor: float) -> Colour:
    """A darker or lighter colour."""
    red, green, blue = (min(value * factor, 0.95) for value in colour)
    return red, green, blue


def painted(colour: Colour) -> Look:
    """Smooth paint, plastic or metal of this colour."""
    return Look("plain", shade(colour, 0.8), shade(colour, 1.2))


def wood(dice: Dice, pattern: str = "grain", tile: tuple[float, float] = (1.6, 0.8)) -> Look:
    """A wood."""
    dark, light = dice.pick(WOODS)
    return Look(pattern, dark, light, tile)


def cloth(dice: Dice, colour: Colour) -> Look:
    """A cloth of this colour, of some weave."""
    if dice.chance(0.2):
        return Look("plaid", shade(colour, 0.45), shade(colour, 1.8), (0.5, 0.5))
    return Look("cloth", shade(colour, 0.65), shade(colour, 1.35), (0.8, 0.8))


def _feature(dice: Dice, paint: Colour) -> Look:
    """One wall that is unlike the others: wallpaper, brick or another paint."""
    kind = dice.pick(("stripes", "damask", "brick", "paint", "grain"))
    if kind == "brick":
        return Look("brick", (0.30, 0.10, 0.06), (0.62, 0.42, 0.32), (1.0, 0.6))
    if kind == "paint":
        other = dice.pick(PAINTS)
        return Look("plaster", shade(other, 0.6), shade(other, 0.85), (3.0, 3.0))
    if kind == "grain":
        return wood(dice, "boards", (2.4, 1.2))
    return Look(kind, shade(paint, 0.62), shade(paint, 1.1), dice.pick(((0.6, 0.6), (0.9, 0.9))))


def _floor(dice: Dice) -> Look:
    """Boards, tiles or carpet."""
    kind = dice.pick(("boards", "boards", "boards", "tiles", "carpet"))
    if kind == "boards":
        return wood(dice, "boards", (2.4, 0.96))
    if kind == "tiles":
        stone = dice.pick(((0.60, 0.56, 0.48), (0.30, 0.30, 0.32), (0.55, 0.35, 0.24), (0.75, 0.73, 0.70)))
        return Look("tiles", shade(stone, 0.55), shade(stone, 1.1), (1.6, 1.6))
    pile = dice.pick(CLOTHS)
    return Look("carpet", shade(pile, 0.6), shade(pile, 1.4), (0.9, 0.9))
