"""How the patterns that show something are painted: books, pictures on a wall, views from a window, a screen.

Every painter takes a canvas and gives (n, n, 3) linear colours, mostly in [0, 1].
"""

from __future__ import annotations

import numpy as np

from testudo.data.rooms.motifs import Canvas, over

PAPER, INK = (0.75, 0.7, 0.6), (0.03, 0.03, 0.04)


def spines(c: Canvas) -> np.ndarray:
    """A row of books, 24 of them, of many widths, colours and heights, with bands across their backs."""
    widths = np.cumsum(0.6 + c.draws(24))
    book = np.searchsorted(widths / widths[-1], c.u[0])
    book = np.broadcast_to(np.minimum(book, 23), c.u.shape)
    hue, tone, band, top = (c.draws(24)[book] for _ in range(4))
    colour = (0.3 + 0.5 * _hue(0.35 * hue - 0.12 + 0.4 * (hue > 0.75))) * (0.15 + 0.85 * tone)[..., None]
    band_at = np.abs(c.v - 0.2 - 0.2 * band) < 0.03
    colour = over(colour, band_at * (band > 0.4), (0.7, 0.6, 0.3))
    start = np.diff(book, axis=1, prepend=-1) != 0
    colour = colour * (1 - 0.75 * start[..., None])
    return over(colour, (c.v < 0.16 * top) * 1.0, INK)


def books(c: Canvas) -> np.ndarray:
    """Books that lie on one another: five covers."""
    row = np.minimum((c.v * 5).astype(int), 4)
    colour = (0.2 + 0.6 * _hue(c.draws(5)[row])) * (0.25 + 0.6 * c.draws(5)[row])[..., None]
    edge = np.abs(c.v * 5 % 1 - 0.5)
    return over(over(colour, (edge < 0.32) * 1.0, PAPER), (edge > 0.48) * 1.0, INK)


def landscape(c: Canvas) -> np.ndarray:
    """Hills before hills under a warm sky, with a sun."""
    picture = _fade(c, (0.25, 0.4, 0.75), (0.9, 0.65, 0.4))
    picture = over(picture, _disc(c, 0.68, 0.3, 0.09), (1.0, 0.85, 0.5))
    for number, colour in enumerate([(0.3, 0.35, 0.5), (0.2, 0.35, 0.25), (0.12, 0.22, 0.08), (0.25, 0.2, 0.06)]):
        ridge = 0.45 + 0.13 * number + 0.12 * (c.noise(4, 1)[0] - 0.5) + 0.05 * (c.noise(16, 1)[0] - 0.5)
        picture = over(picture, (c.v > ridge) * 1.0, colour)
    return picture + 0.08 * (c.clouds(24, 24) - 0.5)[..., None]


def seascape(c: Canvas) -> np.ndarray:
    """A sail on the sea."""
    picture = _fade(c, (0.35, 0.55, 0.85), (0.85, 0.85, 0.8))
    picture = over(picture, (c.v > 0.55) * 1.0, (0.05, 0.2, 0.35))
    waves = np.sin(2 * np.pi * (c.v * 18 + 1.5 * c.noise(6, 6)))
    picture = over(picture, (c.v > 0.55) * (waves > 0.8) * 0.5, (0.6, 0.75, 0.8))
    sail = (c.v > 0.25) * (c.v < 0.58) * (np.abs(c.u - 0.4) < 0.4 * (c.v - 0.25))
    picture = over(picture, sail, (0.9, 0.88, 0.8))
    return over(picture, (np.abs(c.v - 0.6) < 0.025) * (np.abs(c.u - 0.4) < 0.17), (0.3, 0.12, 0.05))


def blocks(c: Canvas) -> np.ndarray:
    """Coloured rectangles between black lines."""
    columns, rows = (np.sort(np.concatenate([[0, 1], 0.12 + 0.76 * c.draws(3)])) for _ in range(2))
    inks = [(0.7, 0.05, 0.04), (0.85, 0.65, 0.05), (0.04, 0.1, 0.5), (0.8, 0.78, 0.7), (0.8, 0.78, 0.7)]
    cell = np.searchsorted(columns, c.u) * 5 + np.searchsorted(rows, c.v)
    picture = np.array(inks)[(c.draws(36) * 5).astype(int)[cell]]
    near = [np.abs(at[..., None] - lines).min(-1) < 0.018 for at, lines in ((c.u, columns), (c.v, rows))]
    return over(picture, (near[0] | near[1]) * 1.0, INK)


def circles(c: Canvas) -> np.ndarray:
    """Discs upon discs."""
    picture = c.blank((0.75, 0.7, 0.6))
    for x, y, radius, hue, tone in c.draws(60).reshape(12, 5):
        ring = _disc(c, x, y, 0.06 + 0.16 * radius)
        picture = over(picture, 0.85 * ring, _hue(np.array(hue)) * (0.2 + 0.7 * tone))
    return picture


def portrait(c: Canvas) -> np.ndarray:
    """Head and shoulders before a dark ground."""
    picture = _fade(c, (0.12, 0.1, 0.06), (0.3, 0.2, 0.1))
    picture = over(picture, _disc(c, 0.5, 1.05, 0.42), (0.12, 0.14, 0.3))
    picture = over(picture, _disc(c, 0.5, 0.36, 0.2), (0.1, 0.05, 0.02))
    picture = over(picture, _disc(c, 0.5, 0.42, 0.155), (0.75, 0.45, 0.3))
    for x in (0.44, 0.56):
        picture = over(picture, _disc(c, x, 0.4, 0.018), INK)
    return over(picture, (np.abs(c.v - 0.5) < 0.01) * (np.abs(c.u - 0.5) < 0.05), (0.45, 0.1, 0.08))


def abstract(c: Canvas) -> np.ndarray:
    """Bands of colour that flow."""
    flow = (c.v + 0.6 * c.clouds(2, 3, 3) + c.draws(1)) * 6
    tones = 0.1 + 0.8 * _hue(c.draws(12)) * c.draws(12)[:, None]
    return tones[flow.astype(int) % 12] * (0.75 + 0.35 * (flow % 1))[..., None]


def garden(c: Canvas) -> np.ndarray:
    """The view from a window: sky with clouds, trees, a lawn."""
    picture = _sky(c)
    for number, colour in enumerate([(0.16, 0.28, 0.14), (0.08, 0.2, 0.06)]):
        line = 0.5 + 0.12 * number - 0.28 * c.noise(7, 1)[0] - 0.06 * c.noise(24, 1)[0]
        crown = np.asarray(colour) * (0.5 + c.clouds(20, 20))[..., None]
        picture = over(picture, ((c.v > line) & (c.v < 0.8)) * 1.0, crown)
    lawn = np.array((0.22, 0.4, 0.1)) * (0.7 + 0.5 * c.clouds(16, 40))[..., None]
    return over(picture, (c.v > 0.72 + 0.02 * c.noise(4, 1)[0]) * 1.0, lawn)


def street(c: Canvas) -> np.ndarray:
    """The view from a window: houses with rows of windows."""
    picture = _sky(c)
    house = np.minimum((c.u * 5).astype(int), 4)
    top, tone = 0.2 + 0.4 * c.draws(5)[house], c.draws(5)[house]
    wall = np.array((0.5, 0.36, 0.26)) * (0.5 + 0.8 * tone)[..., None]
    picture = over(picture, (c.v > top) * 1.0, wall)
    panes = (np.abs(c.u * 20 % 1 - 0.5) < 0.28) & (np.abs(c.v * 14 % 1 - 0.5) < 0.3) & (c.v > top + 0.04)
    picture = over(picture, panes * 1.0, (0.1, 0.13, 0.18))
    return over(picture, (c.v > 0.9) * 1.0, (0.25, 0.25, 0.27))


def news(c: Canvas) -> np.ndarray:
    """A broadcast: a speaker, a map behind, a banner."""
    picture = _fade(c, (0.02, 0.08, 0.3), (0.05, 0.2, 0.5))
    picture = over(picture, (c.clouds(5, 4) > 0.55) * (c.v < 0.6) * (c.u > 0.45), (0.1, 0.45, 0.3))
    picture = over(picture, _disc(c, 0.28, 0.88, 0.22), (0.12, 0.1, 0.12))
    picture = over(picture, _disc(c, 0.28, 0.5, 0.12), (0.65, 0.42, 0.3))
    picture = over(picture, (c.v > 0.78) * 1.0, (0.6, 0.05, 0.05))
    return over(picture, (np.abs(c.v - 0.87) < 0.03) * (c.u > 0.1) * (c.u < 0.85), (0.9, 0.9, 0.9))


def film(c: Canvas) -> np.ndarray:
    """A dark scene between black bars."""
    scene = _fade(c, (0.02, 0.05, 0.09), (0.16, 0.08, 0.03)) * (0.6 + 0.8 * c.clouds(6, 4))[..., None]
    scene = over(scene, _disc(c, 0.7, 0.35, 0.1), (0.5, 0.55, 0.6))
    return over(scene, ((c.v < 0.1) | (c.v > 0.9)) * 1.0, (0.005, 0.005, 0.005))


def _hue(turn: np.ndarray) -> np.ndarray:
    """Colours of this hue, in turns from red: (...) -> (..., 3)."""
    return 0.5 + 0.45 * np.cos(2 * np.pi * (turn[..., None] - np.array([0, 1 / 3, 2 / 3])))


def _fade(c: Canvas, top: tuple, bottom: tuple) -> np.ndarray:
    """From one colour above to another below."""
    return np.asarray(top) + c.v[..., None] * (np.asarray(bottom) - np.asarray(top))


def _disc(c: Canvas, x: float, y: float, radius: float) -> np.ndarray:
    """1 inside of a disc."""
    return (np.hypot(c.u - x, c.v - y) < radius).astype(float)


def _sky(c: Canvas) -> np.ndarray:
    """Blue above, pale below, with clouds."""
    clouds = np.clip((c.clouds(5, 8, 5) - 0.5) * 4, 0, 1)
    return over(_fade(c, (0.3, 0.5, 0.9), (0.8, 0.88, 0.95)), clouds * (c.v < 0.7), (0.95, 0.95, 0.97))
