"""Small things that stand about: lamps, plants, vases, books, pillows."""

from __future__ import annotations

from testudo.data.rooms.dice import Dice
from testudo.data.rooms.solids import Look, Piece, Stuff
from testudo.data.rooms.tones import BLACK, CLOTHS, WHITE, Tones, cloth, painted

GREEN = Look("leaves", (0.01, 0.05, 0.01), (0.14, 0.40, 0.07), (0.5, 0.5))
SHADE = Look("plain", (0.75, 0.62, 0.42), (0.95, 0.85, 0.66), glow=0.9)


def thing(part: str, look: Look) -> Stuff:
    """A part of one of the ``objects``."""
    return Stuff("objects", part, look)


def lamp(dice: Dice, tones: Tones, height: float) -> Piece:
    """A lamp with a foot, a pole and a round shade; a table lamp or a tall one."""
    piece = Piece()
    radius = 0.13 + 0.05 * height
    piece.tube(thing("body", tones.metal), (0, 0, 0), 0.6 * radius, 0.03)
    piece.tube(thing("leg", tones.metal), (0, 0, 0.03), 0.015, 0.75 * height)
    piece.tube(thing("body", SHADE), (0, 0, 0.7 * height), radius, 0.3 * height if height < 1 else 0.32)
    return piece


def plant(dice: Dice, tones: Tones) -> Piece:
    """A plant in a pot."""
    piece, size = Piece(), dice.between(0.7, 1.2)
    pot = painted(dice.pick(((0.5, 0.2, 0.1), WHITE, (0.1, 0.2, 0.3), (0.2, 0.2, 0.2))))
    piece.tube(thing("body", pot), (0, 0, 0), 0.17 * size, 0.3 * size)
    piece.tube(thing("leg", painted((0.12, 0.07, 0.03))), (0, 0, 0.3 * size), 0.02, 0.4 * size)
    for _ in range(dice.whole(4, 7)):
        middle = (dice.between(-0.17, 0.17) * size, dice.between(-0.17, 0.17) * size, dice.between(0.6, 1.15) * size)
        piece.ball(thing("body", GREEN), middle, dice.between(0.11, 0.2) * size)
    return piece


def vase(dice: Dice, tones: Tones) -> Piece:
    """A vase: a ball or a tube with a neck."""
    piece, look = Piece(), painted(dice.pick(CLOTHS))
    radius = dice.between(0.05, 0.1)
    if dice.chance(0.5):
        piece.ball(thing("body", look), (0, 0, 0.9 * radius), radius)
        piece.tube(thing("body", look), (0, 0, 1.6 * radius), 0.4 * radius, 1.2 * radius)
    else:
        piece.tube(thing("body", look), (0, 0, 0), 0.7 * radius, dice.between(2, 4) * radius)
    return piece


def ball(dice: Dice, tones: Tones) -> Piece:
    """A ball to play with."""
    piece, radius = Piece(), dice.between(0.08, 0.16)
    colour = dice.pick(CLOTHS)
    look = Look("stripes", colour, WHITE, (0.6, 0.6)) if dice.chance(0.5) else painted(colour)
    piece.ball(thing("body", look), (0, 0, radius), radius)
    return piece


def crate(dice: Dice, tones: Tones) -> Piece:
    """A box or a basket on the floor."""
    piece, high = Piece(), dice.between(0.25, 0.45)
    if dice.chance(0.5):
        look = Look("grain", (0.3, 0.19, 0.09), (0.5, 0.34, 0.18), (0.4, 0.4))
        half, deep = dice.between(0.15, 0.25), dice.between(0.25, 0.4)
        piece.box(thing("body", look), (-half, half), (0, deep), (0, high))
        piece.box(thing("frame", look), (-half - 0.01, half + 0.01), (-0.01, deep + 0.01), (high, high + 0.03))
    else:
        weave = Look("plaid", (0.16, 0.09, 0.04), (0.6, 0.45, 0.25), (0.15, 0.15))
        piece.tube(thing("body", weave), (0, 0.2, 0), 0.2, high)
        piece.tube(thing("frame", tones.accent), (0, 0.2, high), 0.205, 0.03)
    return piece


def cup(dice: Dice, tones: Tones) -> Piece:
    """A cup or a tin."""
    piece = Piece()
    piece.tube(thing("body", painted(dice.pick((*CLOTHS, WHITE)))), (0, 0, 0), 0.04, dice.between(0.08, 0.13))
    return piece


def bowl(dice: Dice, tones: Tones) -> Piece:
    """A dish with fruit."""
    piece = Piece()
    piece.tube(thing("body", painted(WHITE)), (0, 0, 0), 0.16, 0.05)
    for x, y in ((-0.06, -0.03), (0.06, -0.04), (0.0, 0.07)):
        fruit = painted(dice.pick(((0.6, 0.07, 0.04), (0.75, 0.32, 0.03), (0.35, 0.5, 0.06))))
        piece.ball(thing("body", fruit), (x, y, 0.08), 0.05)
    return piece


def stack(dice: Dice, tones: Tones) -> Piece:
    """Books that lie on one another."""
    piece, high = Piece(), dice.between(0.06, 0.18)
    look = Look("books", (0, 0, 0), (0.9, 0.9, 0.9), (0, 0))
    cover = painted(dice.pick(CLOTHS))
    piece.box(Stuff("books", "body", cover, look), (-0.13, 0.13), (-0.1, 0.1), (0, high))
    return piece


def pillow(dice: Dice, tones: Tones, width: float) -> Piece:
    """A pillow that lies, filled: a box with round long edges."""
    piece = Piece()
    look = tones.sheet if dice.chance(0.4) else cloth(dice, dice.pick(CLOTHS))
    stuff = thing("cushion", look)
    piece.box(stuff, (-width / 2, width / 2), (-0.15, 0.15), (0, 0.12))
    for y in (-0.15, 0.15):
        piece.tube(stuff, (-width / 2, y, 0.06), 0.06, width, axis=0)
    return piece


def monitor(dice: Dice, tones: Tones) -> Piece:
    """A computer's screen on a foot: an object, since only a television is a ``tv``."""
    piece, black = Piece(), painted(BLACK)
    screen = Look(dice.pick(("news", "film", "blocks")), (0, 0, 0), (0.9, 0.9, 0.9), (0, 0), 0.8)
    piece.box(thing("body", black), (-0.12, 0.12), (-0.08, 0.08), (0, 0.02))
    piece.box(thing("leg", black), (-0.03, 0.03), (-0.03, 0.0), (0.02, 0.2))
    piece.box(Stuff("objects", "pane", black, screen), (-0.29, 0.29), (0.0, 0.03), (0.12, 0.48))
    return piece


SMALL = (vase, cup, bowl, stack)
