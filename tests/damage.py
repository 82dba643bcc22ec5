"""Random damage to a file's bytes: flips, other bytes, other digits, cuts, insertions, deletions, swaps."""

from __future__ import annotations

LONGEST = 16  # bytes that are inserted, deleted or swapped at once


def flipped(content, draw):
    """One bit is the other."""
    place = draw.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :]


def replaced(content, draw):
    """One byte is another one that the file holds: in text, a plausible slip."""
    place = draw.randrange(len(content))
    return content[:place] + bytes([draw.choice(content)]) + content[place + 1 :]


def miscounted(content, draw):
    """One digit is another: what no parser sees."""
    places = [place for place, byte in enumerate(content) if byte in b"0123456789"]
    place = draw.choice(places)
    return content[:place] + str(draw.randrange(10)).encode() + content[place + 1 :]


def cut(content, draw):
    """The rest is missing."""
    return content[: draw.randrange(len(content))]


def inserted(content, draw):
    """Bytes too many: random ones, or a copy of some of the file."""
    place, start, size = draw.randrange(len(content) + 1), draw.randrange(len(content)), draw.randint(1, LONGEST)
    more = draw.randbytes(size) if draw.random() < 0.5 else content[start : start + size]
    return content[:place] + more + content[place:]


def deleted(content, draw):
    """Bytes too few."""
    place = draw.randrange(len(content))
    return content[:place] + content[place + draw.randint(1, LONGEST) :]


def swapped(content, draw):
    """Two pieces have changed places."""
    size = draw.randint(1, min(LONGEST, len(content) // 2))
    first = draw.randrange(len(content) - 2 * size + 1)
    second = draw.randint(first + size, len(content) - size)
    one, other = content[first : first + size], content[second : second + size]
    return content[:first] + other + content[first + size : second] + one + content[second + size :]


KINDS = (flipped, replaced, miscounted, cut, inserted, deleted, swapped)


def damaged(content, count, draw):
    """``count`` contents that differ from this one, each kind of damage in turn."""
    made = []
    while len(made) < count:
        worse = KINDS[len(made) % len(KINDS)](content, draw)
        if worse != content:
            made.append(worse)
    return made
