"""Tiny data sets on disk, in the layouts of the real ones; loaded by path (tests are no package)."""

from __future__ import annotations

import csv
import io
import pickle
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image


def pixels(count, seed=0, size=(32, 32)):
    """Different random images, (count, H, W, 3) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (count, *size, 3), dtype=np.uint8)


def encoded(image, kind="PNG"):
    """An array as the bytes of an image file."""
    out = io.BytesIO()
    Image.fromarray(image).save(out, kind)
    return out.getvalue()


def labels(count, classes):
    """Every class in turn."""
    return [index % classes for index in range(count)]


def flat(images):
    """CIFAR's order of bytes: all red, then all green, then all blue."""
    return images.transpose(0, 3, 1, 2).reshape(len(images), -1)


def dump(file, content):
    """A protocol-2 pickle, as the published ones are."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(pickle.dumps(content, protocol=2))


def cifar10_batches(root, each=20):
    """Six batch files of ``each`` images; returns the folder that holds them."""
    folder = Path(root) / "cifar-10-batches-py"
    for number, name in enumerate([*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]):
        dump(folder / name, {b"data": flat(pixels(each, number)), b"labels": labels(each, 10), b"batch_label": b"x"})
    return folder


def cifar100_batches(root, each=200):
    """``train`` and ``test``."""
    folder = Path(root) / "cifar-100-python"
    for number, name in enumerate(("train", "test")):
        images = flat(pixels(each, number))
        dump(folder / name, {b"data": images, b"fine_labels": labels(each, 100), b"coarse_labels": labels(each, 20)})
    return folder


def hub(file, images, columns, ids=None, kind="PNG"):
    """A Parquet file of encoded images and their labels."""
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    cells = [{"bytes": encoded(image, kind), "path": None} for image in images]
    table = {"img": pl.Series(cells, dtype=pl.Struct({"bytes": pl.Binary, "path": pl.String})), **columns}
    pl.DataFrame({**table, **({} if ids is None else {"original_index": ids})}).write_parquet(file)


def cifar10_hub(root, each=20, kind="PNG"):
    """The images of :func:`cifar10_batches`, in two shards and not in order."""
    images = np.concatenate([pixels(each, number) for number in range(5)])
    ids = [10_000 * number + place for number in range(5) for place in range(each)]
    order = np.random.default_rng(0).permutation(len(images))
    classes = np.array(labels(each, 10) * 5)
    for shard, part in enumerate(np.array_split(order, 2)):
        name = f"{root}/data/train-0000{shard}-of-00002.parquet"
        hub(name, images[part], {"label": classes[part]}, [ids[i] for i in part], kind)
    hub(f"{root}/data/test-00000-of-00001.parquet", pixels(each, 5), {"label": labels(each, 10)}, None, kind)
    return Path(root)


def cifar100_hub(root, each=200):
    """The images of :func:`cifar100_batches`."""
    for number, part in enumerate(("train", "test")):
        columns = {"fine_label": labels(each, 100), "coarse_label": labels(each, 20)}
        hub(f"{root}/{part}.parquet", pixels(each, number), columns)
    return Path(root)


def write_csv(file, rows):
    """Rows as dicts of equal keys."""
    with Path(file).open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return str(file)


def animals(folder, count=40):
    """A CSV of 12x10 images with words, numbers and lists of words, some of them blank."""
    folder = Path(folder)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rows = []
    for index, image in enumerate(pixels(count, 9, (12, 10))):
        (folder / "images" / f"{index}.png").write_bytes(encoded(image))
        rows.append(
            {
                "image": f"images/{index}.png",
                "id": 100 + index,
                "breed": "" if index == 3 else ("cat", "dog", "fox")[index % 3],
                "age": "" if index == 4 else 0.5 * index,
                "seen": "" if index == 5 else ("|", "tail", "tail|ear")[index % 3],
            }
        )
    return write_csv(folder / "animals.csv", rows)


def birds(folder, count=30):
    """A Parquet file of grey 9x9 images, with a split column, classes, and labels in columns of 0 and 1."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    images = [encoded(image[:, :, 0]) for image in pixels(count, 8, (9, 9))]
    table = {
        "image": images,
        "split": ["train"] * (count - 12) + ["valid"] * 6 + ["test"] * 6,
        "kind": labels(count, 4),
        "wing": [None if index == 2 else index % 2 for index in range(count)],
        "beak": [index % 3 // 2 for index in range(count)],
    }
    pl.DataFrame(table).write_parquet(folder / "birds.parquet")
    return str(folder / "birds.parquet")


def nyuv2_images(root, train=40, test=4, size=(24, 32)):
    """The image layout: colours, depth in 8 bits and 13 classes, one pixel of each unknown."""
    for part, count in (("train", train), ("val", test)):
        for index, image in enumerate(pixels(count, 1 if part == "train" else 2, size)):
            depth, label = 60 + image[..., 0] // 8 + np.arange(size[1], dtype=np.uint8), image[..., 1] % 13
            depth[3, 4], label[5, 6] = 0, 255
            for kind, ending, array in (("image", "jpg", image), ("depth", "png", depth), ("label13", "png", label)):
                folder = Path(root) / part / kind
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"{index}.{ending}").write_bytes(encoded(array, "JPEG" if ending == "jpg" else "PNG"))
    return Path(root)


def nyuv2_arrays(root, train=40, test=4, size=(24, 32)):
    """The layout of arrays; one pixel of each unknown."""
    for part, count in (("train", train), ("val", test)):
        for index, image in enumerate(pixels(count, 3 if part == "train" else 4, size)):
            normal = image - 127.5
            arrays = {
                "image": image / 255,
                "label": image[..., 1] % 13.0,
                "depth": image[..., :1] / 50 + 1.0,
                "normal": normal / np.linalg.norm(normal, axis=2, keepdims=True),
            }
            arrays["label"][5, 6], arrays["depth"][3, 4], arrays["normal"][1, 2] = -1, 0, 0
            for kind, array in arrays.items():
                folder = Path(root) / part / kind
                folder.mkdir(parents=True, exist_ok=True)
                np.save(folder / f"{index}.npy", array.astype(np.float32))
    return Path(root)


def nih(root, patients=30, published=False):
    """Up to three 20x20 grey images of each patient, named and labelled as NIH does."""
    root, rows = Path(root), []
    images = iter(pixels(3 * patients, 5, (20, 20)))
    for patient in range(1, patients + 1):
        for visit in range(1 + patient % 3):
            name = f"{patient:08d}_{visit:03d}.png"
            folder = root / (f"images_{1 + patient % 2:03d}/images" if published else "images")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(encoded(next(images)[..., 0]))
            rows.append(
                {
                    "Image Index": name,
                    "Finding Labels": ("No Finding", "Hernia", "Mass|Edema", "Edema")[patient % 4],
                    "Patient ID": patient,
                    "Patient Age": 411 if patient == 7 else 30 + patient,
                    "Patient Gender": "FM"[patient % 2],
                }
            )
    write_csv(root / ("Data_Entry_2017.csv" if published else "sample_labels.csv"), rows)
    return root


def put(file, array, kind="PNG"):
    """An array as an image file; a 16-bit PNG of uint16, a 32-bit TIFF of int32."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(encoded(array, kind))


def street(image):
    """Labels for a Cityscapes image: ids, disparity (16 bits) and parts (32 bits); the first row is unknown."""
    values = image.astype(np.int32)
    ids, disparity = values[..., 0] % 34, 4000 + 20 * values[..., 1]
    parts = np.where(values[..., 2] % 3 == 0, 2_400_000 + 100 * 7 + values[..., 0] % 5, ids)
    ids[0], disparity[0] = 0, 0
    return ids.astype(np.uint8), disparity.astype(np.uint16), parts


CITIES = {"train": ("aachen", "bochum", "ulm"), "val": ("lindau",)}


def cityscapes(root, each=4, size=(32, 64), train_ids=False):
    """``each`` images of four cities, as published; or with classes in place of ids."""
    root = Path(root)
    for part, cities in CITIES.items():
        for seed, city in enumerate(cities):
            for index, image in enumerate(pixels(each, 20 + seed + 10 * (part == "val"), size)):
                ids, disparity, parts = street(image)
                start = f"{part}/{city}/{city}_000000_{index:06d}"
                put(root / f"leftImg8bit/{start}_leftImg8bit.png", image)
                name = "labelTrainIds" if train_ids else "labelIds"
                put(root / f"gtFine/{start}_gtFine_{name}.png", ids % 19 if train_ids else ids)
                put(root / f"gtFine/{start}_gtFine_color.png", image)
                put(root / f"disparity/{start}_disparity.png", disparity)
                put(root / f"gtFinePanopticParts/{start}_gtFinePanopticParts.tif", parts, "TIFF")
    return root


def cityscapes_prepared(root, train=220, val=3, size=(8, 16)):
    """Numbered images, as Auto-Lambda's script prepares them."""
    root = Path(root)
    for part, count in (("train", train), ("val", val)):
        for index, image in enumerate(pixels(count, 40 if part == "train" else 41, size)):
            ids, disparity, parts = street(image)
            put(root / f"{part}/image/{index}.png", image)
            put(root / f"{part}/seg/{index}.png", ids)
            put(root / f"{part}/depth/{index}.png", disparity)
            put(root / f"{part}/part_seg/{index}.tif", parts, "TIFF")
    return root


def view(image):
    """The eleven domains of a Taskonomy image; the depth of the first row is missing."""
    values = image.astype(np.uint32)
    euclidean = (900 + 10 * values[..., 0]).astype(np.uint16)
    euclidean[0] = 65_535
    deep = (257 * values[..., 1]).astype(np.uint16)
    return {
        "rgb": image, "depth_euclidean": euclidean, "depth_zbuffer": (euclidean * 0.75).astype(np.uint16),
        "normal": image[::-1], "reshading": np.repeat(image[..., :1], 3, 2), "principal_curvature": image[:, ::-1],
        "edge_texture": deep // 10, "edge_occlusion": deep // 60, "keypoints2d": deep // 180, "keypoints3d": deep,
        "segment_semantic": image[..., 2] % 18,
    }  # fmt: skip


ORDERS = {
    "building first": "{building}/{domain}",
    "domain first": "{domain}/{building}",
    "omnidata": "{domain}/taskonomy/{building}",
}
BUILDINGS = ("allensville", "beechwood", "darden", "uvalda", "elsewhere")


def taskonomy(root, each=3, size=(16, 16), order="building first", buildings=BUILDINGS):
    """``each`` views into some buildings of the tiny split and one other, in one of the :data:`ORDERS` of folders."""
    root = Path(root)
    for seed, building in enumerate(buildings):
        for index, image in enumerate(pixels(each, 60 + seed, size)):
            for domain, array in view(image).items():
                folder = root / ORDERS[order].format(building=building, domain=domain)
                end = "segmentsemantic" if domain == "segment_semantic" else domain
                put(folder / f"point_{index // 2}_view_{index % 2}_domain_{end}.png", array)
    return root
