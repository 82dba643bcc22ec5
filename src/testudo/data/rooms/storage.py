"""Tables and what things are kept in: shelves, wardrobes, chests of drawers, the bench under a television."""

from __future__ import annotations

from testudo.data.rooms.dice import Dice
from testudo.data.rooms.ornaments import SMALL, lamp, monitor
from testudo.data.rooms.patterns import SCREENS
from testudo.data.rooms.seats import legs
from testudo.data.rooms.solids import Look, Piece, Stuff
from testudo.data.rooms.tones import BLACK, Tones, painted

SPINES = Look("spines", (0, 0, 0), (1, 1, 1), (0.75, 0.0))


def laid(piece: Piece, dice: Dice, tones: Tones, area: tuple[float, float, float], count: int) -> None:
    """Put ``count`` small things in a row on a top: ``area`` is its half width, the middle of its depth, its height."""
    half, deep, high = area
    for number in range(count):
        x = -half + (number + dice.between(0.25, 0.75)) * 2 * half / count
        piece.add(dice.pick(SMALL)(dice, tones), x, deep + dice.between(-0.05, 0.05), high, dice.between(-0.5, 0.5))


def table(dice: Dice, tones: Tones, wide: float, deep: float, high: float) -> Piece:
    """A table with four legs, or a round one on a column where it is as deep as wide; things on it."""
    piece, wood = Piece(), Stuff("table", "leg", tones.wood)
    top = wood._replace(part="board", look=tones.wood if dice.chance(0.75) else tones.other_wood)
    if wide == deep:
        piece.tube(top, (0, deep / 2, high - 0.04), wide / 2, 0.04)
        piece.tube(wood, (0, deep / 2, 0.03), 0.045, high - 0.07)
        piece.tube(wood, (0, deep / 2, 0), 0.25, 0.03)
    else:
        thick = dice.between(0.02, 0.035) * (-1 if dice.chance(0.3) else 1)
        legs(piece, wood, (wide / 2 - 0.03, deep / 2), high - 0.04, thick)
        piece.box(top, (-wide / 2, wide / 2), (0, deep), (high - 0.04, high))
    laid(piece, dice, tones, (0.38 * wide, deep / 2, high), dice.whole(0, 3))
    return piece


def desk(dice: Dice, tones: Tones) -> Piece:
    """A desk on the wall with a screen, a lamp and books."""
    piece, wide = Piece(), dice.between(0.6, 0.8)
    wood = Stuff("table", "board", tones.other_wood)
    piece.box(wood, (-wide, wide), (0, 0.62), (0.7, 0.74))
    for x in (-wide, wide - 0.04):
        piece.box(wood._replace(part="leg"), (x, x + 0.04), (0.03, 0.6), (0, 0.7))
    if dice.chance(0.7):
        piece.add(monitor(dice, tones), 0, 0.2, 0.74)
    side = dice.pick((-1, 1))
    piece.add(lamp(dice, tones, 0.5), side * (wide - 0.17), 0.17, 0.74)
    laid(piece, dice, tones, (0.1, 0.35, 0.74), 1)
    piece.add(dice.pick(SMALL)(dice, tones), -side * (wide - 0.2), 0.25, 0.74)
    return piece


def nightstand(dice: Dice, tones: Tones) -> Piece:
    """A small chest of drawers, with a lamp."""
    piece = Piece()
    high = dice.between(0.45, 0.6)
    front = tones.other_wood._replace(pattern="drawers", tile=(0, 0))
    piece.box(Stuff("furniture", "body", tones.other_wood, front), (-0.22, 0.22), (0, 0.4), (0, high))
    for z in (1 / 6, 1 / 2, 5 / 6):
        piece.ball(Stuff("furniture", "frame", tones.metal), (0, 0.41, z * high), 0.018)
    if dice.chance(0.8):
        piece.add(lamp(dice, tones, dice.between(0.4, 0.55)), 0, 0.2, high)
    return piece


def dresser(dice: Dice, tones: Tones) -> Piece:
    """A chest of drawers, things on it."""
    piece, wide, high = Piece(), dice.between(0.45, 0.7), dice.between(0.75, 1.05)
    front = tones.wood._replace(pattern="drawers", tile=(0, 0))
    piece.box(Stuff("furniture", "body", tones.wood, front), (-wide, wide), (0, 0.45), (0.06, high))
    legs(piece, Stuff("furniture", "leg", tones.wood), (wide, 0.22), 0.06, 0.03)
    for x in (-0.5 * wide, 0.5 * wide):
        for z in (1 / 6, 1 / 2, 5 / 6):
            piece.ball(Stuff("furniture", "frame", tones.metal), (x, 0.462, 0.06 + z * (high - 0.06)), 0.02)
    piece.box(Stuff("furniture", "board", tones.wood), (-wide - 0.02, wide + 0.02), (0, 0.47), (high, high + 0.03))
    laid(piece, dice, tones, (0.8 * wide, 0.22, high + 0.03), dice.whole(1, 3))
    return piece


def wardrobe(dice: Dice, tones: Tones) -> Piece:
    """A wardrobe with doors."""
    piece, wide, high = Piece(), dice.between(0.5, 0.8), dice.between(1.85, 2.15)
    look = dice.pick((tones.wood, tones.other_wood))
    front = look._replace(pattern="doors", tile=(0, 0))
    piece.box(Stuff("furniture", "body", look, front), (-wide, wide), (0, 0.58), (0.05, high))
    piece.box(Stuff("furniture", "board", look), (-wide - 0.03, wide + 0.03), (0, 0.61), (high, high + 0.05))
    piece.box(Stuff("furniture", "frame", look), (-wide, wide), (0, 0.55), (0, 0.05))
    for x in (-wide / 3 - 0.05, -wide / 3 + 0.05, wide / 3 + 0.05):
        piece.tube(Stuff("furniture", "frame", tones.metal), (x, 0.6, 0.95), 0.012, 0.14)
    return piece


def shelf(dice: Dice, tones: Tones) -> Piece:
    """A bookcase: boards, and on each a few runs of books or small things."""
    piece, wide, high = Piece(), dice.between(0.4, 0.65), dice.pick((1.2, 1.6, 2.0))
    wood = Stuff("furniture", "board", tones.wood)
    piece.box(wood, (-wide, wide), (0, 0.015), (0, high))
    for x in (-wide, wide - 0.025):
        piece.box(wood, (x, x + 0.025), (0.015, 0.3), (0, high))
    count = round(high / 0.36)
    step = (high - 0.05) / count
    for number in range(count + 1):
        z = 0.03 + number * step
        piece.box(wood, (-wide + 0.025, wide - 0.025), (0.015, 0.3), (z - 0.012, z + 0.012))
        if number < count:
            _run(piece, dice, tones, (wide - 0.04, z + 0.012, step - 0.05))
    return piece


def _run(piece: Piece, dice: Dice, tones: Tones, place: tuple[float, float, float]) -> None:
    """One board of a bookcase filled from the left; ``place`` is its half width, its height and the room above."""
    half, floor, room = place
    x = -half + dice.between(0, 0.05)
    while x < half - 0.12:
        wide = min(dice.between(0.15, 0.5), half - x)
        if dice.chance(0.75):
            high = min(room, dice.between(0.19, 0.29))
            cover = painted((0.5, 0.46, 0.38))
            tone = dice.between(0.5, 1)
            spines = SPINES._replace(light=(tone, tone, tone))
            depth = dice.between(0.19, 0.23)
            piece.box(Stuff("books", "body", cover, spines), (x, x + wide), (0.015, depth), (floor, floor + high))
        elif dice.chance(0.6):
            piece.add(dice.pick(SMALL)(dice, tones), x + wide / 2, 0.13, floor)
        x += wide + dice.between(0.01, 0.06)


def ledge(dice: Dice, tones: Tones) -> Piece:
    """A board on the wall, at z = 0, with books and small things."""
    piece, wide = Piece(), dice.between(0.35, 0.6)
    piece.box(Stuff("furniture", "board", tones.wood), (-wide, wide), (0, 0.24), (-0.03, 0))
    _run(piece, dice, tones, (wide - 0.02, 0.0, 0.3))
    return piece


def bench(dice: Dice, tones: Tones) -> Piece:
    """A low bench with a television."""
    piece, wide = Piece(), dice.between(0.6, 0.9)
    high, half = dice.between(0.4, 0.55), dice.between(0.45, 0.62)
    front = tones.other_wood._replace(pattern="doors", tile=(0, 0))
    piece.box(Stuff("furniture", "body", tones.other_wood, front), (-wide, wide), (0, 0.42), (0.07, high))
    legs(piece, Stuff("furniture", "leg", tones.metal), (wide - 0.05, 0.21), 0.07, -0.02)
    piece.add(television(dice, half), 0, 0.16, high)
    if wide - half > 0.25:
        piece.add(dice.pick(SMALL)(dice, tones), (wide + half) / 2, 0.2, high)
    return piece


def television(dice: Dice, half: float) -> Piece:
    """A television on its foot, twice ``half`` wide; on or off."""
    piece, black = Piece(), painted(BLACK)
    high = 1.15 * half
    on = dice.chance(0.65)
    screen = Look(dice.pick(SCREENS), (0, 0, 0), (1, 1, 1), (0, 0), 1.2) if on else painted((0.02, 0.022, 0.027))
    piece.box(Stuff("tv", "leg", black), (-0.25, 0.25), (-0.09, 0.11), (0, 0.02))
    piece.box(Stuff("tv", "leg", black), (-0.04, 0.04), (0, 0.03), (0.02, 0.08))
    piece.box(Stuff("tv", "frame", black), (-half, half), (0, 0.04), (0.07, 0.09 + high))
    piece.box(Stuff("tv", "pane", black, screen), (-half + 0.02, half - 0.02), (0.03, 0.045), (0.09, 0.07 + high))
    return piece
