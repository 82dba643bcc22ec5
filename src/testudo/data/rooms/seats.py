"""What one sits and lies on: chairs, armchairs, sofas, beds."""

from __future__ import annotations

from testudo.data.rooms.dice import Dice
from testudo.data.rooms.ornaments import pillow
from testudo.data.rooms.solids import Look, Piece, Stuff
from testudo.data.rooms.tones import CLOTHS, Tones, cloth


def legs(piece: Piece, stuff: Stuff, half: tuple[float, float], high: float, thick: float) -> None:
    """Four legs under a top of half width and half depth ``half``; a negative ``thick`` makes them round."""
    wide, deep = half
    size = abs(thick)
    for x in (-wide + size, wide - size):
        for y in (size, 2 * deep - size):
            if thick < 0:
                piece.tube(stuff, (x, y, 0), size, high)
            else:
                piece.box(stuff, (x - size, x + size), (y - size, y + size), (0, high))


def chair(dice: Dice, tones: Tones) -> Piece:
    """A chair that looks to +y: four legs, a seat, a back of slats or of one board."""
    piece, wide, high = Piece(), 0.22, dice.between(0.42, 0.47)
    frame = Stuff("chair", "leg", tones.wood)
    back = frame._replace(part="back")
    seat = frame._replace(part="seat", look=tones.accent if dice.chance(0.4) else tones.wood)
    legs(piece, frame, (wide, 0.21), high, -0.02 if dice.chance(0.4) else 0.02)
    piece.box(seat, (-wide, wide), (0, 0.42), (high, high + 0.05))
    top = high + dice.between(0.42, 0.55)
    if dice.chance(0.5):
        piece.box(back, (-wide, wide), (0, 0.03), (high + 0.18, top))
        for x in (-wide, wide - 0.04):
            piece.box(back, (x, x + 0.04), (0, 0.03), (high + 0.05, high + 0.18))
        return piece
    for x in (-wide, -0.085, 0.045, wide - 0.04):
        piece.box(back, (x, x + 0.04), (0, 0.03), (high + 0.05, top - 0.06))
    piece.box(back, (-wide, wide), (0, 0.035), (top - 0.06, top))
    return piece


def stool(dice: Dice, tones: Tones) -> Piece:
    """A round stool."""
    piece, high = Piece(), dice.between(0.4, 0.6)
    piece.tube(Stuff("chair", "seat", tones.accent), (0, 0.18, high), 0.18, 0.07)
    legs(piece, Stuff("chair", "leg", tones.wood), (0.15, 0.15), high, -0.018)
    return piece


def _upholstered(dice: Dice, tones: Tones, name: str, wide: float) -> Piece:
    """A seat with arms and cushions, ``wide`` between the arms."""
    piece, cloth_ = Piece(), tones.cloth
    arm, high = dice.between(0.12, 0.2), dice.between(0.14, 0.2)
    half = wide / 2 + arm
    body = Stuff(name, "body", cloth_)
    legs(piece, Stuff(name, "leg", tones.wood), (half - 0.04, 0.4), 0.08, 0.03)
    piece.box(body, (-half, half), (0, 0.86), (0.08, 0.08 + high))
    piece.box(body._replace(part="back"), (-half, half), (0, 0.2), (0.08 + high, dice.between(0.72, 0.86)))
    round_arms = dice.chance(0.5)
    for x in (-half, half - arm):
        piece.box(body._replace(part="arm"), (x, x + arm), (0.2, 0.86), (0.08 + high, 0.52))
        if round_arms:
            piece.tube(body._replace(part="arm"), (x + arm / 2, 0.2, 0.52), arm / 2, 0.66, axis=1)
    count = max(1, round(wide / 0.65))
    cushion = wide / count
    for number in range(count):
        x = -wide / 2 + number * cushion, -wide / 2 + (number + 1) * cushion
        inner = x[0] + 0.01, x[1] - 0.01
        piece.box(body._replace(part="cushion"), inner, (0.2, 0.88), (0.08 + high, 0.24 + high))
        piece.box(body._replace(part="cushion"), inner, (0.2, 0.36), (0.24 + high, 0.78))
    return piece


def armchair(dice: Dice, tones: Tones) -> Piece:
    """An upholstered chair for one."""
    return _upholstered(dice, tones._replace(cloth=tones.accent), "chair", dice.between(0.55, 0.65))


def sofa(dice: Dice, tones: Tones) -> Piece:
    """A sofa for two or three, with some pillows."""
    wide = dice.pick((1.3, 1.5, 1.9))
    piece = _upholstered(dice, tones, "sofa", wide)
    for _ in range(dice.whole(0, 3)):
        x = dice.between(-wide / 2 + 0.25, wide / 2 - 0.25)
        piece.add(pillow(dice, tones, 0.4), x, 0.56, 0.44, dice.between(-0.4, 0.4))
    return piece


def bed(dice: Dice, tones: Tones) -> Piece:
    """A bed, its head on y = 0: frame, mattress, blanket, pillows."""
    wide, high = dice.pick((1.0, 1.4, 1.6, 1.8)) / 2, dice.between(0.22, 0.34)
    piece = Piece()
    frame, soft = Stuff("bed", "frame", tones.wood), Stuff("bed", "cushion", tones.sheet)
    head = dice.between(0.85, 1.2)
    piece.box(frame._replace(part="back"), (-wide - 0.05, wide + 0.05), (0, 0.06), (0, head))
    legs(piece, frame._replace(part="leg"), (wide, 1.03), 0.12, 0.04)
    piece.box(frame, (-wide - 0.03, wide + 0.03), (0.06, 2.1), (0.12, high))
    piece.box(soft, (-wide, wide), (0.06, 2.06), (high, high + 0.2))
    colour = dice.pick(CLOTHS)
    quilt = Look("quilt", (0, 0, 0), (0.9, 0.9, 0.9), (1.6, 1.6)) if dice.chance(0.25) else cloth(dice, colour)
    blanket = Stuff("bed", "cushion", quilt)
    edge = dice.between(0.6, 0.9)
    piece.box(blanket, (-wide - 0.035, wide + 0.035), (edge, 2.11), (high - 0.05, high + 0.225))
    piece.tube(blanket, (-wide - 0.03, edge, high + 0.2), 0.05, 2 * wide + 0.06, axis=0)
    if dice.chance(0.3):
        piece.box(frame._replace(part="back"), (-wide - 0.05, wide + 0.05), (2.11, 2.16), (0, high + 0.35))
    for x in (0.0,) if wide < 0.6 else (-wide / 2, wide / 2):
        piece.add(pillow(dice, tones, 0.62), x, 0.3, high + 0.2, dice.between(-0.1, 0.1))
    return piece
