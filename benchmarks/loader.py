"""Images a second, with all labels: the loader against decoding the same files and doing nothing with them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

import testudo as td
from benchmarks.timing import as_table, take_turns
from testudo.data.building_files import SPELT
from testudo.data.images import decoded
from testudo.data.nyuv2_files import RoomFiles
from testudo.data.streamed import Streamed
from testudo.data.taskonomy import DOMAINS
from testudo.environment import threads

COUNT = 8  # images of the sets that are made for this
SLOWEST = 1 / 0.7  # of the time that decoding takes
SAMPLE = Path(os.environ.get("TESTUDO_DATA") or "../shared/data") / "nyuv2"


def photo(draw: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Something that PNG packs about as well as a photograph: smooth, with a little noise; (H, W, 3) uint8."""
    coarse = draw.integers(0, 256, (size[0] // 32, size[1] // 32, 3), dtype=np.uint8)
    smooth = np.array(Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC)).astype(int)
    return (smooth + draw.integers(-6, 7, smooth.shape)).clip(0, 255).astype(np.uint8)


def put(path: Path, array: np.ndarray) -> None:
    """An array as an image file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def streets(root: Path) -> Streamed:
    """Cityscapes at its real size, 1024 x 2048, in its own layout."""
    draw = np.random.default_rng(0)
    for index in range(COUNT):
        image = photo(draw, (1024, 2048))
        ids = np.kron(draw.integers(0, 34, (32, 64)), np.ones((32, 32), int))
        start = f"val/lindau/lindau_000000_{index:06d}"
        put(root / f"leftImg8bit/{start}_leftImg8bit.png", image)
        put(root / f"gtFine/{start}_gtFine_labelIds.png", ids.astype(np.uint8))
        put(root / f"disparity/{start}_disparity.png", (4000 + 40 * image[..., 0].astype(int)).astype(np.uint16))
        things = np.where(ids >= 24, ids * 100_000 + 100 + ids % 5, ids)
        put(root / f"gtFinePanopticParts/{start}_gtFinePanopticParts.tif", things.astype(np.int32))
    return td.Cityscapes(str(root), wanted=("segmentation", "parts", "disparity", "image"))


def rooms(root: Path) -> Streamed:
    """Taskonomy at its real size, 512 x 512, in its own layout."""
    draw = np.random.default_rng(0)
    for index in range(COUNT):
        for domain in DOMAINS.values():
            values = photo(draw, (512, 512))
            if domain == "segment_semantic":
                values = np.kron(draw.integers(1, 18, (16, 16), np.uint8), np.ones((32, 32), np.uint8))
            elif domain not in ("rgb", "normal", "reshading", "principal_curvature"):
                values = 1000 + values[..., 0].astype(np.uint16) * 20
            name = f"point_{index}_view_0_domain_{SPELT.get(domain, (domain,))[0]}.png"
            put(root / "uvalda" / domain / name, values)
    return td.Taskonomy(str(root))


def streamed(dataset: Streamed) -> tuple[dict[str, Callable[[], object]], int]:
    """The arms for a set that is decoded batch by batch, and how many images each goes through."""
    examples = dataset.load("test")
    names = dataset.listed("test")[0]
    files = [path for name in names for path in (dataset.picture(name), *dataset.files(name))]
    loader = td.Loader(examples, batch_size=4)
    arms: dict[str, Callable[[], object]] = {
        "decoding alone (the floor)": lambda: [decoded(path, "") for path in files],
        "the loader, all labels": lambda: list(loader()),
    }
    return arms, len(names)


def sample() -> tuple[dict[str, Callable[[], object]], int]:
    """The arms for the validation images of the NYUv2 sample, which are held in memory once they are loaded."""
    dataset = td.NYUv2(str(SAMPLE))
    examples = dataset.load("val")
    files = RoomFiles(SAMPLE / "train")
    paths = [files.path(kind, index) for index in examples.ids.tolist() for kind in files.kinds]
    loader = td.Loader(examples, batch_size=16)
    arms: dict[str, Callable[[], object]] = {
        "decoding alone (the floor)": lambda: [decoded(path, "") for path in paths],
        "an epoch of the loader, all labels": lambda: list(loader()),
        "the first load, normals derived": lambda: dataset.load("val"),
    }
    return arms, len(examples)


def run(turns: int = 5) -> list[str]:
    """Markdown lines with the result."""
    lines = [
        "## Loading images with all their labels",
        "",
        f"At least 0.7 of the images a second that decoding alone gives, so at most {SLOWEST:.2f} of its time; one "
        "thread, as a worker of the loader has. The maps of Cityscapes and Taskonomy are decoded with each batch; "
        "NYUv2 is decoded when it is loaded, once, which also derives its normals from depth, and has no target.",
    ]
    with tempfile.TemporaryDirectory() as place:
        sets = {
            f"Cityscapes, {COUNT} made images of 1024 x 2048 to 256 x 512": streamed(streets(Path(place) / "streets")),
            f"Taskonomy, {COUNT} made views of 512 x 512 to 256 x 256": streamed(rooms(Path(place) / "rooms")),
        }
        if SAMPLE.is_dir():
            sets["NYUv2 sample, 75 images of 288 x 384 to 96 x 128"] = sample()
        for title, (arms, count) in sets.items():
            with threads(1):
                told = take_turns(arms, turns)
            rates = ", ".join(f"{name} {count / timed.seconds:.0f}" for name, timed in told.items())
            targets = {name: round(SLOWEST, 2) for name in arms if "loader" in name}
            lines += ["", f"{title}; images a second: {rates}.", "", *as_table(told, targets)]
    return lines


if __name__ == "__main__":
    print("\n".join(run()))
