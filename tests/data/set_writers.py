"""More tiny data sets on disk, in the layouts of the real ones; loaded by path (tests are no package)."""

from __future__ import annotations

from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
from safetensors.numpy import save_file

writers = SimpleNamespace(**run_path(str(Path(__file__).with_name("writers.py"))))

CHEXPERT = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema",
    "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture",
    "Support Devices",
)  # fmt: skip


def chexpert(root, train=24, valid=8, folder="CheXpert-v1.0-small"):
    """Two frontal and a lateral 20x24 image of each patient; labels 1, 0, -1 and blank, in valid.csv 1 and 0 alone."""
    root = Path(root)
    images = iter(writers.pixels(3 * (train + valid), 6, (20, 24)))
    for part, first, count in (("train", 1, train), ("valid", 64541, valid)):
        rows = []
        for patient in range(first, first + count):
            for view, ending in enumerate(("frontal", "lateral", "frontal"), 1):
                name = f"{part}/patient{patient:05d}/study1/view{view}_{ending}.jpg"
                writers.put(root / folder / name, next(images)[..., 0], "JPEG")
                values = ("1.0", "0.0", "-1.0", "") if part == "train" else ("1.0", "0.0")
                rows.append(
                    {
                        "Path": f"CheXpert-v1.0-small/{name}",
                        "Sex": "Unknown" if patient == 3 else ("Female", "Male")[patient % 2],
                        "Age": 20 + patient % 60,
                        "Frontal/Lateral": ending.title(),
                        "AP/PA": "" if ending == "lateral" else "AP",
                        **{label: values[(patient + place) % len(values)] for place, label in enumerate(CHEXPERT)},
                    }
                )
        writers.write_csv(root / folder / f"{part}.csv", rows)
    return root


def stl10(root, train=50, test=20, unlabeled=30, folds=True):
    """The binary files; every class in turn, columns of pixels as published, two of ten folds."""
    folder = Path(root) / "stl10_binary"
    folder.mkdir(parents=True)
    for part, count, seed in (("train", train, 0), ("test", test, 1), ("unlabeled", unlabeled, 2)):
        images = writers.pixels(count, seed, (96, 96))  # (N, H, W, 3)
        (folder / f"{part}_X.bin").write_bytes(images.transpose(0, 3, 2, 1).tobytes())
        if part != "unlabeled":
            (folder / f"{part}_y.bin").write_bytes(bytes(1 + label for label in writers.labels(count, 10)))
    if folds:
        lines = (" ".join(map(str, range(start, train, 2))) for start in (0, 1))
        (folder / "fold_indices.txt").write_text("\n".join(lines) + "\n")
    (folder / "class_names.txt").write_text("airplane\nbird\n")
    return Path(root)


ROBIN = ("aeroplane", "bicycle", "boat", "bus", "car", "chair", "diningtable", "motorbike", "sofa", "train")
NUISANCES = ("shape", "pose", "texture", "context", "weather", "occlusion")


def robin(root, photographs=4, each=2):
    """Two objects cut out of each of four photographs of each class; no dining tables in bad weather."""
    root = Path(root) / "ROBINv1.1-cls-pose"
    for seed, part in enumerate(("train", "iid_test", *(f"nuisances/{name}" for name in NUISANCES))):
        count = photographs * each if part == "train" else 1
        classes = [name for name in ROBIN if (part, name) != ("nuisances/weather", "diningtable")]
        images = iter(writers.pixels(count * len(classes), 70 + seed, (18, 14)))
        for name in classes:
            for index in range(count):
                file = f"imagenet_{name}_n0{seed}_{index // each}_{index % each}.jpg"
                writers.put(root / part / "Images" / name / file, next(images), "JPEG")
        (root / part / "labels.csv").write_text("imgs,labels,azimuth\n")
    return root.parent


def arrays(file, count=40, kind="npz", size=(8, 8), seed=90):
    """Generated images and their labels, as published: (N, H, W, C) bytes, every one of four classes in turn."""
    file = Path(file)
    images, labels = writers.pixels(count, seed, size), np.array(writers.labels(count, 4))
    if kind == "npy":
        np.save(file, images)
        np.save(file.with_name("labels.npy"), labels)
    elif kind == "safetensors":
        save_file({"image": images, "label": labels}, file)
    else:
        (np.savez_compressed if kind == "compressed" else np.savez)(file, image=images, label=labels)
    return str(file)
