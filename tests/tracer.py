"""A tiny ray tracer that shares no code with the renderer: one ray, one primitive after another, in plain Python.

Rays have length 1 and are followed in the world, in distance; boxes are six rectangles, balls are found by the point
of closest approach, tubes by the ray's shadow on their cross section.
"""

from __future__ import annotations

import math

EPS = 1e-9


def dot(a, b):
    return sum(p * q for p, q in zip(a, b, strict=True))


def along(a, t, b):
    return [p + t * q for p, q in zip(a, b, strict=True)]


def ray(eye, x, y):
    """The direction of length 1 of the ray (x, y, 1) of a camera, and how long that was."""
    right, down, ahead = (row.tolist() for row in eye.turn)
    way = [x * r + y * d + a for r, d, a in zip(right, down, ahead, strict=True)]
    length = math.sqrt(dot(way, way))
    return [w / length for w in way], length


def nearest(solids, start, way):
    """(distance, normal, solid) of what a ray meets first."""
    best = (math.inf, None, None)
    for index in range(len(solids)):
        centre, half, axes = (part[index].tolist() for part in (solids.centre, solids.half, solids.turn))
        meet = (box, ball, tube)[int(solids.kind[index])]
        for distance, normal in meet(start, way, centre, half, axes):
            facing = dot(normal, way)
            if EPS < distance < best[0] and (facing > 0 if index == 0 else facing < 0):
                best = (distance, normal, index)
    distance, normal, index = best
    return distance, [-part for part in normal] if index == 0 else normal, index


def box(start, way, centre, half, axes):
    """Every rectangle that the ray goes through, with the normal outwards."""
    for axis in range(3):
        for side in (-1, 1):
            normal = [side * part for part in axes[axis]]
            slope = dot(normal, way)
            if slope == 0:
                continue
            middle = along(centre, half[axis], normal)
            distance = dot(normal, [m - s for m, s in zip(middle, start, strict=True)]) / slope
            offset = [p - m for p, m in zip(along(start, distance, way), middle, strict=True)]
            if all(abs(dot(offset, axes[other])) <= half[other] for other in range(3) if other != axis):
                yield distance, normal


def ball(start, way, centre, half, axes):
    """Where the ray enters."""
    to_centre = [c - s for c, s in zip(centre, start, strict=True)]
    closest = dot(to_centre, way)
    miss = dot(to_centre, to_centre) - closest * closest
    if miss < half[0] ** 2:
        distance = closest - math.sqrt(half[0] ** 2 - miss)
        place = along(start, distance, way)
        yield distance, [(p - c) / half[0] for p, c in zip(place, centre, strict=True)]


def tube(start, way, centre, half, axes):
    """The round side, where the ray enters it, and both ends."""
    one, two, three = axes
    from_axis = [s - c for s, c in zip(start, centre, strict=True)]
    at, go = complex(dot(from_axis, one), dot(from_axis, two)), complex(dot(way, one), dot(way, two))
    if abs(go) > 0:
        turned = at * go.conjugate() / abs(go)  # the shadow's direction becomes the real axis
        if abs(turned.imag) < half[0]:
            distance = (-turned.real - math.sqrt(half[0] ** 2 - turned.imag**2)) / abs(go)
            place = along(from_axis, distance, way)
            if abs(dot(place, three)) <= half[2]:
                yield distance, [(p - dot(place, three) * a) / half[0] for p, a in zip(place, three, strict=True)]
    for side in (-1, 1):
        normal = [side * part for part in three]
        slope = dot(normal, way)
        if slope:
            distance = (half[2] - dot(normal, from_axis)) / slope
            place = along(from_axis, distance, way)
            if dot(place, place) - dot(place, three) ** 2 <= half[0] ** 2:
                yield distance, normal
