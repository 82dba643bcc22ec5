"""Where the files of Taskonomy lie."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from testudo.errors import TestudoError

VIEW = re.compile(r"(point_(\d+)_view_(\d+))_domain_\w+\.png")
SPELT = {"segment_semantic": ("segmentsemantic", "segment_semantic")}  # in file names, where unlike the folder


@dataclass(frozen=True)
class BuildingFiles:
    """The files under ``root``; examples are called ``allensville/point_12_view_3``.

    A domain (``rgb``, ``normal``, ...) of a building lies in ``BUILDING/DOMAIN/``, as published; in
    ``DOMAIN/BUILDING/``, as Standley et al. (2020) keep it; or in ``DOMAIN/taskonomy/BUILDING/``, as the tool of
    Omnidata (Eftekhar et al. 2021) downloads it.
    """

    root: Path

    def buildings(self) -> list[str]:
        """Those there are, in order."""
        if self._start is not None:
            return sorted(path.name for path in (self.root / "rgb" / self._start).iterdir() if path.is_dir())
        return sorted(path.parent.name for path in self.root.glob("*/rgb") if path.is_dir())

    def names(self, building: str, domains: Iterable[str]) -> list[str]:
        """The examples that have a file in any of the domains, in order."""
        found = {match.groups() for domain in domains for match in self._views(domain, building)}
        in_order = sorted(found, key=lambda view: (int(view[1]), int(view[2])))
        return [f"{building}/{view}" for view, _, _ in in_order]

    def path(self, domain: str, name: str) -> Path:
        """The file of an example."""
        building, _, view = name.partition("/")
        spelt = SPELT.get(domain, (domain,))
        paths = [self._folder(domain, building) / f"{view}_domain_{each}.png" for each in spelt]
        return next((path for path in paths[1:] if path.exists()), paths[0])

    @cached_property
    def _start(self) -> str | None:
        """What comes between domain and building; None where the building comes first."""
        if not (self.root / "rgb").is_dir():
            return None
        return "taskonomy" if (self.root / "rgb" / "taskonomy").is_dir() else ""

    def _folder(self, domain: str, building: str) -> Path:
        if self._start is None:
            return self.root / building / domain
        return self.root / domain / self._start / building

    def _views(self, domain: str, building: str) -> Iterable[re.Match[str]]:
        folder = self._folder(domain, building)
        if not folder.is_dir():
            hint = "" if domain == "rgb" else "; without it, leave its task out of wanted"
            raise TestudoError(f"taskonomy: no folder {str(folder)!r}{hint}")
        return (match for path in folder.iterdir() if (match := VIEW.fullmatch(path.name)))
