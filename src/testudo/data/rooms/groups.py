"""Pieces of furniture that belong together: a bed between nightstands, a sofa and its table, a table and its chairs."""

from __future__ import annotations

import math
from collections.abc import Callable

from testudo.data.rooms.dice import Dice
from testudo.data.rooms.fittings import rug
from testudo.data.rooms.seats import bed, chair, sofa, stool
from testudo.data.rooms.solids import Piece
from testudo.data.rooms.storage import desk, nightstand, table
from testudo.data.rooms.tones import Tones


def bedside(dice: Dice, tones: Tones) -> Piece:
    """A bed with none, one or two nightstands, perhaps on a rug."""
    piece = bed(dice, tones)
    half = max(solid.centre[0] + solid.half[0] for solid in piece.solids)
    for side in dice.pick(((-1, 1), (-1, 1), (1,), (-1,), ())):
        piece.add(nightstand(dice, tones), side * (half + 0.28))
    if dice.chance(0.5):
        piece.add(rug(dice, 2 * half + 1.0, 1.6), 0, 1.6)
    return piece


def lounge(dice: Dice, tones: Tones) -> Piece:
    """A sofa, mostly with a low table before it, perhaps on a rug."""
    piece = sofa(dice, tones)
    half = max(solid.centre[0] + solid.half[0] for solid in piece.solids)
    if dice.chance(0.75):
        round_ = dice.chance(0.35)
        wide = 0.75 if round_ else dice.between(0.8, 1.2)
        deep = wide if round_ else dice.between(0.45, 0.6)
        piece.add(table(dice, tones, wide, deep, dice.between(0.36, 0.48)), dice.between(-0.15, 0.15), 1.25)
    if dice.chance(0.65):
        piece.add(rug(dice, *dice.pick(((1.6 + half, 1.5), (1.8, 1.8), (2.2, 1.4)))), 0, 1.5)
    return piece


def study(dice: Dice, tones: Tones) -> Piece:
    """A desk and its chair."""
    piece = desk(dice, tones)
    piece.add(
        chair(dice, tones), dice.between(-0.2, 0.2), dice.between(0.85, 1.1), 0, math.pi + dice.between(-0.5, 0.5)
    )
    return piece


def dining(dice: Dice, tones: Tones) -> Piece:
    """A table with chairs, or stools, around it; its near edge is on y = 0 without them."""
    piece = Piece()
    round_ = dice.chance(0.35)
    wide = 1.05 if round_ else dice.between(1.2, 1.7)
    deep = wide if round_ else dice.between(0.75, 0.9)
    piece.add(table(dice, tones, wide, deep, dice.between(0.71, 0.76)))
    places = [(0.0, -0.32, 0.0), (0.0, deep + 0.32, math.pi)]
    if not round_:
        places = [(x, y, turn) for x in (-wide / 4, wide / 4) for _, y, turn in places]
    places += [(-wide / 2 - 0.32, deep / 2, -math.pi / 2), (wide / 2 + 0.32, deep / 2, math.pi / 2)]
    model = stool if dice.chance(0.12) else chair
    first = model(dice, tones)
    for x, y, turn in places:
        if dice.chance(0.85):
            piece.add(first, x, y, 0, turn + dice.between(-0.25, 0.25))
    if dice.chance(0.4):
        piece.add(rug(dice, wide + 0.9, deep + 0.9), 0, deep / 2)
    return piece


GROUPS: dict[str, Callable[[Dice, Tones], Piece]] = {
    "bed": bedside,
    "sofa": lounge,
    "desk": study,
    "dining": dining,
}
