"""How the patterns of materials are painted: wood, cloth, stone, tiles, doors.

Every painter takes a canvas and gives (n, n) numbers, or (n, n, 3) linear colours, mostly in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

Rgb = Sequence[float]


class Canvas:
    """A square of ``side`` texels: coordinates u (to the right), v (down) in [0, 1), and seamless noise."""

    def __init__(self, side: int, draws: Callable[[int, int], np.ndarray]) -> None:
        self.side = side
        self._draws = draws
        self._uses = 0
        at = (np.arange(side) + 0.5) / side
        self.u, self.v = np.broadcast_arrays(at[None, :], at[:, None])

    def draws(self, count: int) -> np.ndarray:
        """(count,) fresh numbers in (0, 1)."""
        self._uses += 1
        return self._draws(count, self._uses)

    def noise(self, along: int, across: int) -> np.ndarray:
        """Smooth noise in [0, 1], with this many bumps along u and v."""
        grid = self.draws(along * across).reshape(across, along)
        return _enlarged(_enlarged(grid, self.side).T, self.side).T

    def clouds(self, along: int, across: int, octaves: int = 4) -> np.ndarray:
        """Noise of several sizes, mean about 0.5."""
        total, weight, scale = np.zeros((self.side, self.side)), 0.0, 1.0
        for _ in range(octaves):
            total += scale * self.noise(min(along, self.side), min(across, self.side))
            weight, scale, along, across = weight + scale, scale * 0.55, along * 2, across * 2
        return total / weight

    def blank(self, colour: Rgb) -> np.ndarray:
        """All of one colour, (n, n, 3)."""
        return np.broadcast_to(np.asarray(colour, float), (self.side, self.side, 3)).copy()


def _enlarged(grid: np.ndarray, side: int) -> np.ndarray:
    """Rows of ``grid`` (rows, n), which repeat, made ``side`` long with smooth steps between."""
    at = np.arange(side) * grid.shape[1] / side
    index, share = at.astype(int), at % 1
    share = share * share * (3 - 2 * share)
    return grid[:, index] * (1 - share) + grid[:, (index + 1) % grid.shape[1]] * share


def _line(at: np.ndarray, count: float, width: float) -> np.ndarray:
    """1 on ``count`` evenly spaced lines (at the ends of the cells) of ``width`` (of a cell), else 0."""
    return (np.abs(at * count % 1 - 0.5) > 0.5 - width / 2).astype(float)


def over(picture: np.ndarray, mask: np.ndarray, colour: Rgb | np.ndarray) -> np.ndarray:
    """``colour`` painted over ``picture`` (n, n, 3) where ``mask`` (n, n) is 1."""
    return picture + mask[..., None] * (np.asarray(colour, float) - picture)


def plain(c: Canvas) -> np.ndarray:
    """Nearly even."""
    return 0.5 + 0.12 * (c.clouds(32, 32, 3) - 0.5)


def plaster(c: Canvas) -> np.ndarray:
    """A painted wall: faint large and small clouds."""
    return 0.5 + 0.35 * (c.clouds(3, 3, 5) - 0.5) + 0.15 * (c.noise(128, 128) - 0.5)


def boards(c: Canvas) -> np.ndarray:
    """Floorboards: eight rows, staggered, each board of its own tone, with grain and dark gaps."""
    row = (c.v * 8).astype(int)
    along = (c.u + c.draws(8)[row]) * 2
    board = row * 2 + along.astype(int) % 2
    grain_ = c.clouds(4, 96, 3)
    gap = np.maximum(_line(c.v, 8, 0.07), (along % 1 < 0.012).astype(float))
    return (0.2 + 0.55 * c.draws(16)[board] + 0.45 * (grain_ - 0.5)) * (1 - 0.8 * gap)


def grain(c: Canvas) -> np.ndarray:
    """Wood of furniture: fibres along u, with slow waves."""
    wave = c.v + 0.04 * c.noise(3, 3)
    rings = 0.5 + 0.5 * np.sin(2 * np.pi * 9 * wave + 3 * c.noise(2, 5))
    return 0.25 + 0.3 * rings + 0.5 * (c.clouds(3, 64, 4) - 0.25)


def tiles(c: Canvas) -> np.ndarray:
    """Four by four tiles with pale joints."""
    cell = (c.v * 4).astype(int) * 4 + (c.u * 4).astype(int)
    joint = np.maximum(_line(c.u, 4, 0.06), _line(c.v, 4, 0.06))
    body = 0.35 + 0.25 * c.draws(16)[cell] + 0.3 * (c.clouds(6, 6) - 0.5)
    return body * (1 - joint) + 0.95 * joint


def carpet(c: Canvas) -> np.ndarray:
    """Pile: fine noise on faint large blotches."""
    return 0.5 + 0.5 * (c.noise(128, 128) - 0.5) + 0.4 * (c.clouds(4, 4) - 0.5)


def brick(c: Canvas) -> np.ndarray:
    """Eight courses of bricks, each brick of its own tone."""
    row = (c.v * 8).astype(int)
    along = (c.u * 4 + 0.5 * (row % 2)) % 4
    joint = np.maximum(_line(c.v, 8, 0.12), _line(along, 1, 0.06))
    body = 0.15 + 0.45 * c.draws(32)[row * 4 + along.astype(int)] + 0.4 * (c.clouds(16, 16) - 0.5)
    return body * (1 - joint) + 0.9 * joint


def stripes(c: Canvas) -> np.ndarray:
    """Wallpaper: broad and narrow upright stripes."""
    broad = (c.u * 4 % 1 < 0.5).astype(float)
    narrow = (np.abs(c.u * 4 % 1 - 0.75) < 0.04).astype(float)
    return 0.25 + 0.5 * broad + 0.35 * narrow + 0.1 * (c.noise(64, 64) - 0.5)


def damask(c: Canvas) -> np.ndarray:
    """Wallpaper: offset rows of blossoms."""
    shade = np.zeros((c.side, c.side))
    for du, dv in ((0, 0), (0.25, 0.25)):
        x, y = ((c.u + du) * 2 % 1 - 0.5) * 2, ((c.v + dv) * 2 % 1 - 0.5) * 2
        radius, angle = np.hypot(x, y * 0.8), np.arctan2(y, x)
        shade += (radius < 0.3 + 0.12 * np.cos(5 * angle)) * (0.6 + 0.4 * np.cos(20 * radius))
    return 0.3 + 0.5 * shade + 0.1 * (c.noise(64, 64) - 0.5)


def cloth(c: Canvas) -> np.ndarray:
    """A plain weave."""
    weave = np.sin(2 * np.pi * 48 * c.u) * np.sin(2 * np.pi * 48 * c.v)
    return 0.5 + 0.12 * weave + 0.4 * (c.clouds(5, 5) - 0.5) + 0.2 * (c.noise(128, 128) - 0.5)


def plaid(c: Canvas) -> np.ndarray:
    """Crossing bands."""
    bands = [(np.abs(at * 3 % 1 - 0.5) < 0.18) * 0.35 + (np.abs(at * 3 % 1 - 0.1) < 0.03) * 0.3 for at in (c.u, c.v)]
    return 0.15 + bands[0] + bands[1] + 0.1 * (c.noise(96, 96) - 0.5)


def quilt(c: Canvas) -> np.ndarray:
    """Six by six patches of many tones, the seams dark."""
    cell = (c.v * 6).astype(int) * 6 + (c.u * 6).astype(int)
    tones = 0.3 + 0.4 * c.draws(36)[cell][..., None] + 0.3 * (np.stack([c.draws(36) for _ in range(3)], 1)[cell] - 0.5)
    seam = np.maximum(_line(c.u, 6, 0.07), _line(c.v, 6, 0.07))[..., None]
    return (0.15 + 0.75 * tones + 0.15 * (c.noise(96, 96) - 0.5)[..., None]) * (1 - 0.5 * seam)


def marble(c: Canvas) -> np.ndarray:
    """Pale stone with dark veins."""
    vein = np.abs(np.sin(2 * np.pi * (2 * c.u + c.v + 1.5 * c.clouds(3, 3, 5))))
    return 0.25 + 0.65 * vein**0.4 + 0.15 * (c.clouds(4, 4) - 0.5)


def leaves(c: Canvas) -> np.ndarray:
    """Foliage: blotches of light on dark."""
    return np.clip((c.clouds(12, 12, 3) - 0.3) * 2.2, 0.05, 1)


def panels(c: Canvas) -> np.ndarray:
    """A door: six raised panels."""
    x, y = np.abs(c.u * 2 % 1 - 0.5), np.abs(c.v * 3 % 1 - 0.5)
    edge = np.maximum(x / 0.36, y / 0.4)
    return 0.55 - 0.45 * (np.abs(edge - 1) < 0.08) + 0.15 * (edge < 0.92) + 0.1 * (c.clouds(3, 48, 2) - 0.5)


def doors(c: Canvas) -> np.ndarray:
    """Cupboard doors: three, with dark gaps and a lighter field on each."""
    x, y = np.abs(c.u * 3 % 1 - 0.5), np.abs(c.v - 0.5)
    field = (x < 0.36) & (y < 0.43)
    gap = np.maximum(_line(c.u, 3, 0.03), _line(c.v, 1, 0.015))
    return (0.45 + 0.12 * field + 0.3 * (c.clouds(48, 3, 3) - 0.5)) * (1 - 0.85 * gap)


def drawers(c: Canvas) -> np.ndarray:
    """Three drawers, one above the other."""
    gap = np.maximum(_line(c.v, 3, 0.07), _line(c.u, 1, 0.03))
    return (0.5 + 0.35 * (c.clouds(3, 48, 3) - 0.5)) * (1 - 0.85 * gap)


def rug(c: Canvas) -> np.ndarray:
    """A woven rug: borders one within another."""
    edge = np.minimum(np.minimum(c.u, 1 - c.u), np.minimum(c.v, 1 - c.v)) * 2
    warm = c.draws(8)[:, None]
    tones = warm * np.array((0.75, 0.55, 0.35)) + (1 - warm) * np.array((0.15, 0.12, 0.3))
    ring = np.minimum((edge * 7).astype(int), 7)
    zigzag = (np.abs((c.u * 12 + c.v * 12) % 1 - 0.5) < 0.2) & (ring % 2 == 1)
    return (0.05 + 0.9 * tones[ring]) * (1 - 0.45 * zigzag[..., None]) + 0.25 * (c.noise(128, 128) - 0.5)[..., None]


def medallion(c: Canvas) -> np.ndarray:
    """A rug with a star in the middle."""
    x, y = (c.u - 0.5) * 2, (c.v - 0.5) * 2
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    picture = c.blank((0.45, 0.1, 0.1))
    picture = over(picture, (radius < 0.75 + 0.08 * np.cos(8 * angle)) * 1.0, (0.65, 0.55, 0.35))
    picture = over(picture, (radius < 0.6 + 0.1 * np.cos(8 * angle)) * 1.0, (0.12, 0.16, 0.35))
    picture = over(picture, (radius < 0.25 + 0.08 * np.cos(6 * angle)) * 1.0, (0.7, 0.6, 0.4))
    picture = over(picture, (np.maximum(np.abs(x), np.abs(y)) > 0.9) * 1.0, (0.1, 0.1, 0.2))
    return picture + 0.2 * (c.noise(128, 128) - 0.5)[..., None]
