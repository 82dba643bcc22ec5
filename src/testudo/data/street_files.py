"""Where the files of Cityscapes lie: as published, or as Auto-Lambda's script prepares them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from testudo.errors import TestudoError

Kinds = dict[str, tuple[str, tuple[str, ...]]]
OFFICIAL: Kinds = {  # folder, and what a file's name may end in
    "image": ("leftImg8bit", ("_leftImg8bit.png",)),
    "segmentation": ("gtFine", ("_gtFine_labelIds.png", "_gtFine_labelTrainIds.png")),
    "parts": ("gtFinePanopticParts", ("_gtFinePanopticParts.tif",)),
    "disparity": ("disparity", ("_disparity.png",)),
    "depth": ("disparity", ("_disparity.png",)),
}
PREPARED: Kinds = {
    "image": ("image", (".png",)),
    "segmentation": ("seg", (".png",)),
    "parts": ("part_seg", (".tif",)),
    "disparity": ("depth", (".png",)),
    "depth": ("depth", (".png",)),
}
FRAME = re.compile(r"(\w+_\d{6}_\d{6})_\w+\.(?:png|tif)")
BLOCK = 100  # consecutive prepared images: mostly of one city


@dataclass(frozen=True)
class StreetFiles:
    """The files under ``root``.

    Examples are called ``train/aachen/aachen_000000_000019``, prepared ones ``train/17``.
    """

    root: Path

    @property
    def official(self) -> bool:
        """Whether the files lie as published."""
        return not (self.root / "train" / "image").is_dir()

    def path(self, kind: str, name: str) -> Path:
        """The file of an example; of several possible ones the first that is there, or the first of all."""
        part, _, rest = name.partition("/")
        first, *others = (self._folder(kind, part) / f"{rest}{ending}" for ending in self._kinds[kind][1])
        return first if first.exists() else next((path for path in others if path.exists()), first)

    def names(self, part: str, kinds: Iterable[str]) -> list[str]:
        """The examples of ``train`` or ``val`` that have a file of any of the ``kinds``, in order."""
        found = {name for kind in kinds for name in self._names(kind, part)}
        return [f"{part}/{name}" for name in sorted(found, key=lambda name: (0 if self.official else int(name), name))]

    def group(self, name: str) -> str:
        """The city of an example, or its block of prepared images: what must not be in two splits."""
        return name.split("/")[1] if self.official else f"{int(name.split('/')[1]) // BLOCK * BLOCK} and on"

    @property
    def _kinds(self) -> Kinds:
        return OFFICIAL if self.official else PREPARED

    def _folder(self, kind: str, part: str) -> Path:
        folder = self._kinds[kind][0]
        return self.root / folder / part if self.official else self.root / part / folder

    def _names(self, kind: str, part: str) -> Iterable[str]:
        folder = self._folder(kind, part)
        if not folder.is_dir():
            hint = "" if kind == "image" else f"; without it, leave {kind!r} out of wanted"
            raise TestudoError(f"cityscapes: no folder {str(folder)!r}{hint}")
        if not self.official:
            return (path.stem for path in folder.iterdir() if path.stem.isdecimal())
        found = ((path.parent.name, FRAME.fullmatch(path.name)) for path in folder.glob("*/*.*"))
        return (f"{city}/{match[1]}" for city, match in found if match)
