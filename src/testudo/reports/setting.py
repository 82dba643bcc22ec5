"""How a study was made: data, attacks, dates."""

from __future__ import annotations

from datetime import datetime

from testudo.reports import wording
from testudo.reports.results import Results
from testudo.reports.study import Study

LABELS = {"python": "Python", "torch": "PyTorch", "testudo": "testudo", "git": "git commit", "cpu": "CPU", "gpu": "GPU"}
SPLITS = (("train", "for training"), ("val", "for validation"), ("test", "for testing"))


def attacks(results: Results) -> list[tuple[str, list[str]]]:
    """Every kind of attack with the eps it was run at, by norm."""
    kinds: dict[str, list[str]] = {}
    for attack in results.attacks:
        if not attack.clean:
            name = f"{attack.method}, {wording.NORMS.get(attack.norm, attack.norm)}"
            kinds.setdefault(name, []).append(wording.radius(attack.eps))
    return [(name, list(dict.fromkeys(eps))) for name, eps in kinds.items()]


def data(study: Study) -> list[tuple[str, str]]:
    """The data's facts that are told, with their names."""
    told = study.data
    splits = ", ".join(f"{told[key]:,} {name}" for key, name in SPLITS if isinstance(told.get(key), int))
    lines = [("data", told.get("name")), ("examples", splits), ("fingerprint", told.get("fingerprint"))]
    return [(name, str(value)) for name, value in lines if value]


def environment(study: Study) -> list[tuple[str, str]]:
    """What it ran on, with names for people."""
    return [(LABELS.get(name, name.replace("_", " ")), str(value)) for name, value in study.environment.items()]


def duration(minutes: float) -> str:
    """Minutes in words.

    >>> duration(4.2), duration(0.5), duration(150)
    ('4.2 minutes', '30 seconds', '2.5 hours')
    """
    if minutes < 1:
        return f"{60 * minutes:.0f} seconds"
    return f"{minutes:.1f} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours"


def date(created: str) -> str:
    """An ISO time as a day; what is none, as it is.

    >>> date("2025-11-21T04:30:00+00:00"), date("long ago")
    ('21 November 2025', 'long ago')
    """
    try:
        day = datetime.fromisoformat(created)
    except ValueError:
        return created
    return f"{day.day} {day:%B %Y}"
