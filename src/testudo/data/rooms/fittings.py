"""What belongs to the walls and the ceiling: windows, curtains, doors, pictures, radiators, skirting, lamps.

A fitting's wall is y = 0, and z is counted from the floor.
"""

from __future__ import annotations

from testudo.data.rooms.dice import Dice
from testudo.data.rooms.patterns import PICTURES, RUGS, VIEWS
from testudo.data.rooms.solids import Look, Piece, Span, Stuff
from testudo.data.rooms.tones import BLACK, CLOTHS, WHITE, Tones, cloth, painted, shade

DOOR = 2.05  # metres high


def frame(piece: Piece, stuff: Stuff, x: Span, z: Span, bar: tuple[float, float]) -> None:
    """Four bars around an opening; ``bar`` is their breadth and how far they stand out."""
    wide, deep = bar
    piece.box(stuff, (x[0] - wide, x[1] + wide), (0, deep), (z[1], z[1] + wide))
    piece.box(stuff, (x[0] - wide, x[1] + wide), (0, deep), (z[0] - wide, z[0]))
    piece.box(stuff, (x[0] - wide, x[0]), (0, deep), z)
    piece.box(stuff, (x[1], x[1] + wide), (0, deep), z)


def window(dice: Dice, tones: Tones, wide: float, z: Span, light: float) -> Piece:
    """A window ``wide`` across with bars and a sill, perhaps with curtains; ``light`` is what comes through it."""
    piece, half = Piece(), wide / 2
    bars = Stuff("window", "frame", tones.trim)
    view = Look(dice.pick(VIEWS), (0.02, 0.02, 0.02), (1, 1, 1), (0, 0), light)
    piece.box(Stuff("window", "pane", tones.trim, view), (-half, half), (0, 0.015), z)
    frame(piece, bars, (-half, half), z, (0.06, 0.05))
    for number in range(1, dice.whole(2, 3)):
        x = -half + number * wide / 2
        piece.box(bars, (x - 0.02, x + 0.02), (0.015, 0.035), z)
    if dice.chance(0.5):
        middle = z[0] + dice.pick((0.5, 0.7)) * (z[1] - z[0])
        piece.box(bars, (-half, half), (0.015, 0.035), (middle - 0.02, middle + 0.02))
    piece.box(bars, (-half - 0.1, half + 0.1), (0, 0.1), (z[0] - 0.1, z[0] - 0.06))
    if dice.chance(0.6):
        _curtains(piece, dice, tones, half, z)
    return piece


def _curtains(piece: Piece, dice: Dice, tones: Tones, half: float, z: Span) -> None:
    """Folds to both sides of a window, under a rod."""
    look = cloth(dice, dice.pick(CLOTHS)) if dice.chance(0.7) else tones.sheet
    stuff, fold = Stuff("window", "cushion", look), dice.between(0.04, 0.055)
    foot, count = dice.pick((0.05, z[0] - 0.15)), dice.whole(3, 5)
    top = z[1] + 0.16
    for number in range(count):
        for side in (-1, 1):
            x = side * (half + 0.22 - 1.7 * fold * number)
            piece.tube(stuff, (x, 0.1 + 0.02 * (number % 2), foot), fold, top - foot)
    piece.tube(Stuff("window", "frame", tones.metal), (-half - 0.35, 0.1, top), 0.015, 2 * half + 0.7, axis=0)


def door(dice: Dice, tones: Tones) -> Piece:
    """A door, which belongs to its wall (as in NYUv2's 13 classes), with frame and knob; the wall is its class."""
    piece = Piece()
    leaf = tones.trim if dice.chance(0.5) else tones.wood
    dark, light = shade(leaf.dark, 0.55), leaf.light
    panels = Look("panels", dark, light, (0, 0))
    piece.box(Stuff("wall", "board", leaf, panels), (-0.4, 0.4), (0, 0.03), (0.005, DOOR))
    rim = Stuff("wall", "frame", leaf)
    piece.box(rim, (-0.47, 0.47), (0, 0.05), (DOOR, DOOR + 0.07))
    for x in (-0.47, 0.4):
        piece.box(rim, (x, x + 0.07), (0, 0.05), (0, DOOR))
    side = dice.pick((-0.33, 0.33))
    piece.tube(Stuff("wall", "frame", tones.metal), (side, 0.03, 1.0), 0.012, 0.05, axis=1)
    piece.ball(Stuff("wall", "frame", tones.metal), (side, 0.09, 1.0), 0.03)
    return piece


def picture(dice: Dice, tones: Tones) -> Piece:
    """A framed picture around (0, 0, 0)."""
    piece = Piece()
    wide, high = dice.pick(((0.3, 0.22), (0.22, 0.3), (0.45, 0.3), (0.3, 0.42), (0.6, 0.35), (0.28, 0.28)))
    size = dice.between(0.8, 1.25)
    wide, high = wide * size, high * size
    bar = dice.between(0.025, 0.05)
    rim = dice.pick((tones.wood, tones.other_wood, painted(BLACK), painted(WHITE)))
    canvas = Look(dice.pick(PICTURES), (0, 0, 0), (0.95, 0.95, 0.95), (0, 0))
    piece.box(Stuff("picture", "pane", rim, canvas), (-wide, wide), (0, 0.012), (-high, high))
    frame(piece, Stuff("picture", "frame", rim), (-wide, wide), (-high, high), (bar, 0.03))
    return piece


def clock(dice: Dice, tones: Tones) -> Piece:
    """A round clock around (0, 0, 0)."""
    piece, radius = Piece(), dice.between(0.12, 0.18)
    piece.tube(Stuff("objects", "frame", painted(BLACK)), (0, 0, 0), radius + 0.015, 0.03, axis=1)
    piece.tube(Stuff("objects", "pane", painted(WHITE)), (0, 0.03, 0), radius, 0.005, axis=1)
    for length, reach in ((0.01, 0.75), (0.06, 0.01)):
        hand = (-0.01, 0.01 + length), (0.035, 0.04), (-0.01, 0.01 + reach * radius)
        piece.box(Stuff("objects", "frame", painted(BLACK)), *hand)
    return piece


def mirror(dice: Dice, tones: Tones) -> Piece:
    """A mirror, an object as in NYUv2's 13 classes, around (0, 0, 0); it shows a pale room."""
    piece, wide, high = Piece(), dice.between(0.2, 0.3), dice.between(0.35, 0.5)
    glass = Look("marble", (0.35, 0.38, 0.40), (0.55, 0.58, 0.60), (2.0, 2.0))
    piece.box(Stuff("objects", "pane", glass), (-wide, wide), (0, 0.012), (-high, high))
    frame(piece, Stuff("objects", "frame", tones.metal), (-wide, wide), (-high, high), (0.03, 0.025))
    return piece


def radiator(dice: Dice, tones: Tones, wide: float) -> Piece:
    """Upright tubes between two bars, white."""
    piece, white = Piece(), painted(WHITE)
    half, stuff = wide / 2, Stuff("furniture", "body", white)
    for z in (0.15, 0.6):
        piece.box(stuff, (-half, half), (0.04, 0.1), (z, z + 0.05))
    count = round(wide / 0.1)
    for number in range(count):
        x = -half + (number + 0.5) * wide / count
        piece.tube(stuff, (x, 0.07, 0.15), 0.036, 0.5)
    return piece


def skirting(tones: Tones, length: float) -> Piece:
    """The board along the foot of a wall that goes from x = 0 to ``length``."""
    piece = Piece()
    piece.box(Stuff("wall", "frame", tones.trim), (0, length), (0, 0.018), (0, 0.1))
    return piece


def ceiling_lamp(dice: Dice) -> tuple[Piece, float]:
    """A lamp under the ceiling, which is z = 0, and the height of its bulb: a ball on a cord, a shade, or a disc."""
    piece = Piece()
    glow = Look("plain", (0.85, 0.8, 0.7), (1, 0.96, 0.88), glow=1.6)
    kind = dice.pick(("ball", "shade", "disc"))
    if kind == "disc":
        piece.tube(Stuff("objects", "body", glow), (0, 0, -0.09), 0.22, 0.09)
        return piece, -0.05
    piece.tube(Stuff("objects", "leg", painted(BLACK)), (0, 0, -0.4), 0.01, 0.4)
    if kind == "ball":
        piece.ball(Stuff("objects", "body", glow), (0, 0, -0.5), 0.14)
    else:
        piece.tube(Stuff("objects", "body", glow), (0, 0, -0.6), 0.2, 0.22)
    return piece, -0.5


def rug(dice: Dice, wide: float, deep: float) -> Piece:
    """A rug around (0, 0): floor, as in NYUv2's 13 classes; round where it is as deep as wide."""
    piece = Piece()
    look = Look(dice.pick(RUGS), (0.02, 0.02, 0.02), (0.9, 0.85, 0.8), (0, 0))
    if dice.chance(0.3):
        look = cloth(dice, dice.pick(CLOTHS))
    if wide == deep:
        piece.tube(Stuff("floor", "shell", look._replace(tile=(0.8, 0.8))), (0, 0, 0), wide / 2, 0.015)
    else:
        piece.box(Stuff("floor", "shell", look), (-wide / 2, wide / 2), (-deep / 2, deep / 2), (0, 0.012))
    return piece
