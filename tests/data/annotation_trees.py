"""Small data sets as annotation tools and other toolkits write them, for any test that needs one on disk.

Each builder fills `root` and returns it. What is annotated is `SCENE`: a road, and a smaller car that lies over it;
all else is background. The files are those that the tools write: datumaro 1.13 (which is CVAT's exporter), labelme
6.3, label-studio-converter 0.0.59 and pycocotools 2.0.11 were asked; Ultralytics', Roboflow's, mmsegmentation's and
ADE20K's layouts are those of their documentation.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from atonce.data.formats.ade20k import NAMES as ADE_NAMES
from tests.data.trees import HEIGHT, VOC_PALETTE, WIDTH, colours, ids, picture, save

NAMES = ("background", "road", "car")
ROAD, CAR = (4, 8, 30, 22), (10, 12, 16, 18)
"""Left, top, right, bottom of the two regions, in pixels; even, as the contract of the formats looks at blocks."""

VOC_COLOURS = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0)}


def scene() -> NDArray[np.uint8]:
    """The mask that all of these trees say: uint8 (H, W), 0 background, 1 road, 2 car."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for value, (left, top, right, bottom) in ((1, ROAD), (2, CAR)):
        mask[top:bottom, left:right] = value
    return mask


def corners(box: tuple[int, int, int, int]) -> list[float]:
    """x, y, x, y, ... of a box."""
    left, top, right, bottom = box
    return [float(v) for v in (left, top, right, top, right, bottom, left, bottom)]


def run_lengths(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """As datumaro writes masks into COCO: uncompressed counts, down the columns."""
    flat = mask.T.ravel().astype(np.int8)
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return {"counts": [0, *counts] if flat[0] else counts, "size": list(mask.shape)}


# CVAT ---------------------------------------------------------------------------------------------------------------


def cvat(root: Path, count: int = 5) -> Path:
    """CVAT "Segmentation mask 1.1", with pictures: RGB masks, names with folders, spaces and dots, one list."""
    names = [f"cam front/frame.{i:04}" for i in range(count)]
    for i, name in enumerate(names):
        save(root / "JPEGImages" / f"{name}.jpg", picture(i))
        save(root / "SegmentationClass" / f"{name}.png", colours(scene(), VOC_COLOURS))
        save(root / "SegmentationObject" / f"{name}.png", colours(scene(), VOC_COLOURS))
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "default.txt").write_text("".join(f"{name}\n" for name in names))
    lines = ["# label:color_rgb:parts:actions", "background:0,0,0::", "road:128,0,0::", "car:0,128,0::"]
    (root / "labelmap.txt").write_text("\n".join(lines) + "\n")
    return root


def cvat_subsets(root: Path) -> Path:
    """The same of a project with subsets, which become lists of their own."""
    cvat(root, 6)
    lists = root / "ImageSets" / "Segmentation"
    names = (lists / "default.txt").read_text().splitlines()
    (lists / "default.txt").unlink()
    for subset, part in (("Train", names[:3]), ("Validation", names[3:5]), ("Test", names[5:])):
        (lists / f"{subset}.txt").write_text("".join(f"{name}\n" for name in part))
    return root


def cvat_camvid(root: Path, count: int = 5) -> Path:
    """CVAT "CamVid 1.0": default/ and defaultannot/, paths in quotes, label_colors.txt."""
    names = [f"cam front/frame.{i:04}" for i in range(count)]
    for i, name in enumerate(names):
        save(root / "default" / f"{name}.jpg", picture(i))
        save(root / "defaultannot" / f"{name}.png", colours(scene(), VOC_COLOURS))
    lines = [f'"/default/{name}.jpg" "defaultannot/{name}.png"\n' for name in names]
    (root / "default.txt").write_text("".join(lines))
    (root / "label_colors.txt").write_text("0 0 0 background\n128 0 0 road\n0 128 0 car\n")
    return root


def cvat_coco(root: Path, count: int = 5) -> Path:
    """CVAT "COCO 1.0", with pictures: a mask as a crowd of run lengths, a polygon."""
    names = [f"cam front/frame.{i:04}.jpg" for i in range(count)]
    for i, name in enumerate(names):
        save(root / "images" / "default" / name, picture(i))
    write_coco(root / "annotations" / "instances_default.json", names)
    return root


# COCO ---------------------------------------------------------------------------------------------------------------


def write_coco(path: Path, names: Sequence[str], first_id: int = 1) -> Path:
    """A COCO file in which each picture is `scene`; ids of categories begin at `first_id`."""
    annotations: list[dict[str, Any]] = []
    for number in range(1, len(names) + 1):
        left, top, right, bottom = CAR
        road = run_lengths(box_mask(ROAD))
        annotations += [
            {"id": 2 * number - 1, "image_id": number, "category_id": first_id, "segmentation": road,
             "area": 364.0, "bbox": [4.0, 8.0, 26.0, 14.0], "iscrowd": 1},
            {"id": 2 * number, "image_id": number, "category_id": first_id + 1, "segmentation": [corners(CAR)],
             "area": 36.0, "bbox": [left, top, right - left, bottom - top], "iscrowd": 0},
        ]  # fmt: skip
    data = {
        "licenses": [{"name": "", "id": 0, "url": ""}],
        "info": {"contributor": "", "description": ""},
        "categories": [{"id": first_id + i, "name": name, "supercategory": ""} for i, name in enumerate(NAMES[1:])],
        "images": [
            {"id": i, "width": WIDTH, "height": HEIGHT, "file_name": name, "license": 0}
            for i, name in enumerate(names, 1)
        ],
        "annotations": annotations,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, separators=(",", ":")))
    return path


def box_mask(box: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    left, top, right, bottom = box
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top:bottom, left:right] = True
    return mask


def coco2017(root: Path) -> Path:
    """As cocodataset.org distributes it: train2017/ val2017/ annotations/, with captions and keypoints beside."""
    for split, count in (("train", 4), ("val", 2)):
        names = [f"{i:012}.jpg" for i in range(count)]
        for i, name in enumerate(names):
            save(root / f"{split}2017" / name, picture(i))
        write_coco(root / "annotations" / f"instances_{split}2017.json", names)
        (root / "annotations" / f"captions_{split}2017.json").write_text('{"images": [], "annotations": []}')
        write_coco(root / "annotations" / f"person_keypoints_{split}2017.json", names)
    return root


def coco_roboflow(root: Path) -> Path:
    """Roboflow's "COCO segmentation": _annotations.coco.json beside the pictures of each split."""
    for split, count in (("train", 4), ("valid", 2), ("test", 1)):
        names = [f"{split}{i}_jpg.rf.0123456789abcdef.jpg" for i in range(count)]
        for i, name in enumerate(names):
            save(root / split / name, picture(i))
        write_coco(root / split / "_annotations.coco.json", names, first_id=1)
    return root


# labelme ------------------------------------------------------------------------------------------------------------


def labelme_shape(label: str, points: Sequence[Sequence[float]], kind: str = "polygon", **more: Any) -> dict[str, Any]:
    return {
        "label": label, "points": [list(p) for p in points], "group_id": None, "description": "",
        "shape_type": kind, "flags": {}, "mask": None, **more,
    }  # fmt: skip


def write_labelme(path: Path, image: str, shapes: Sequence[Mapping[str, Any]]) -> Path:
    data: dict[str, Any] = {
        "version": "6.3.1", "flags": {}, "shapes": list(shapes), "imagePath": image, "imageData": None,
        "imageHeight": HEIGHT, "imageWidth": WIDTH,
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, ensure_ascii=False, indent=2), encoding="utf-8")
    return path


def labelme_scene() -> list[dict[str, Any]]:
    """The small shape first: in the order of the file it would be covered."""
    car = np.array(corners(CAR)).reshape(-1, 2).tolist()
    return [labelme_shape("car", car), labelme_shape("road", [ROAD[:2], ROAD[2:]], "rectangle")]


def labelme(root: Path, count: int = 5) -> Path:
    """A JSON beside each picture; one region is void by labelme's `__ignore__`."""
    for i in range(count):
        save(root / f"street {i}.jpg", picture(i))
        ignored = labelme_shape("__ignore__", [(0, 0), (4, 0), (4, 4), (0, 4)])
        write_labelme(root / f"street {i}.json", f"street {i}.jpg", [*labelme_scene(), ignored])
    return root


def labelme_splits(root: Path) -> Path:
    """train/ and val/, JSONs in a folder of their own, whose imagePath leads to the pictures as on Windows."""
    for split, count in (("train", 4), ("val", 2)):
        for i in range(count):
            save(root / split / "images" / f"{i}.png", picture(i))
            write_labelme(root / split / "json" / f"{i}.json", f"..\\images\\{i}.png", labelme_scene())
    return root


def labelme_mask_png(mask: NDArray[np.bool_]) -> str:
    """A mask as labelme keeps it in the JSON."""
    file = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def labelme_exported(root: Path, count: int = 5) -> Path:
    """labelme_export_json: a folder for each JSON, in which each picture has numbers of its own."""
    for i in range(count):
        folder = root / f"street{i}_json"
        order = (1, 2) if i % 2 else (2, 1)
        mask = np.zeros_like(scene())
        for value, class_id in enumerate(order, 1):
            mask[scene() == class_id] = value
        save(folder / "img.png", picture(i))
        save(folder / "label.png", mask, VOC_PALETTE)
        save(folder / "label_viz.png", picture(i + 100))
        (folder / "label_names.txt").write_text("\n".join(["_background_", *(NAMES[c] for c in order)]) + "\n")
    return root


def labelme2voc(root: Path, count: int = 5) -> Path:
    """labelme's examples/semantic_segmentation/labelme2voc.py: no lists, npy beside the PNGs."""
    for i in range(count):
        save(root / "JPEGImages" / f"2011_{i}.jpg", picture(i))
        mask = scene()
        mask[:2, :2] = 255
        save(root / "SegmentationClassPNG" / f"2011_{i}.png", mask, VOC_PALETTE)
        (root / "SegmentationClass").mkdir(exist_ok=True)
        np.save(root / "SegmentationClass" / f"2011_{i}.npy", mask)
        save(root / "SegmentationClassVisualization" / f"2011_{i}.jpg", picture(i))
    (root / "class_names.txt").write_text("_background_\nroad\ncar\n")
    return root


# YOLO and Ultralytics -----------------------------------------------------------------------------------------------


def yolo_lines(classes: tuple[int, int] = (0, 1)) -> str:
    lines = []
    for index, box in zip(classes, (ROAD, CAR), strict=True):
        scaled = np.array(corners(box)).reshape(-1, 2) / (WIDTH, HEIGHT)
        lines.append(f"{index} " + " ".join(f"{v:.8f}" for v in scaled.ravel()))
    return "\n".join(lines) + "\n"


def _yolo(root: Path, images: str, labels: str, splits: Mapping[str, int]) -> None:
    for split, count in splits.items():
        for i in range(count):
            save(root / images.format(split) / f"{i:03}.jpg", picture(i))
            path = root / labels.format(split) / f"{i:03}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(yolo_lines())


def yolo(root: Path) -> Path:
    """Ultralytics' own layout; data.yaml's path is of somebody's machine."""
    _yolo(root, "images/{}", "labels/{}", {"train": 4, "val": 2})
    text = "path: ../datasets/mine\ntrain: images/train\nval: images/val\n\nnames:\n  0: road\n  1: car\n"
    (root / "data.yaml").write_text(text)
    return root


def yolo_roboflow(root: Path) -> Path:
    """Roboflow's export for YOLO, whose paths lead out of the folder."""
    _yolo(root, "{}/images", "{}/labels", {"train": 4, "valid": 2, "test": 1})
    text = "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n\nnc: 2\nnames: ['road', 'car']\n"
    (root / "data.yaml").write_text(text)
    return root


def yolo_label_studio(root: Path) -> Path:
    """Label Studio's export for YOLO: no splits, classes.txt and notes.json."""
    _yolo(root, "images{}", "labels{}", {"": 5})
    (root / "classes.txt").write_text("road\ncar\n")
    (root / "notes.json").write_text('{"categories": [{"id": 0, "name": "road"}, {"id": 1, "name": "car"}]}')
    return root


def ultralytics(root: Path) -> Path:
    """Ultralytics' semantic layout: PNG masks of the names' indices, 255 void."""
    for split, count in (("train", 4), ("val", 2)):
        for i in range(count):
            save(root / "images" / split / f"{i}.jpg", picture(i))
            save(root / "masks" / split / f"{i}.png", ids(i, (0, 1, 2, 255)))
    names = "".join(f"  {i}: {name}\n" for i, name in enumerate(NAMES))
    (root / "data.yaml").write_text(f"train: images/train\nval: images/val\nmasks_dir: masks\nnames:\n{names}")
    return root


def ultralytics_mapping(root: Path) -> Path:
    """The same with a label_mapping of the values in the masks."""
    for split, count in (("train", 4), ("val", 2)):
        for i in range(count):
            save(root / "images" / split / f"{i}.jpg", picture(i))
            save(root / "annotations" / split / f"{i}.png", ids(i, (0, 7, 26)))
    mapping = "label_mapping:\n  -1: ignore_label\n  0: ignore_label\n  7: 0\n  26: 1\n"
    text = f"train: images/train\nval: images/val\nmasks_dir: annotations\nnames:\n  0: road\n  1: car\n{mapping}"
    (root / "dataset.yaml").write_text(text)
    return root


# Label Studio -------------------------------------------------------------------------------------------------------


def label_studio(root: Path, count: int = 5) -> Path:
    """ "Brush labels to PNG" unpacked beside the uploaded pictures and the project's JSON export."""
    tasks = []
    for i in range(count):
        task, upload = 11 + i, f"{i:08x}-street{i}.jpg"
        save(root / "images" / upload, picture(i))
        for label, box in (("road", ROAD), ("car", CAR)):
            mask = box_mask(box).astype(np.uint8) * 255
            save(root / "masks" / f"task-{task}-annotation-{20 + i}-by-1-tag-{label}-0.png", mask)
        result = [{"from_name": "tag", "to_name": "image", "type": "brushlabels", "value": {"brushlabels": ["road"]}}]
        tasks.append(
            {
                "id": task,
                "annotations": [{"id": 20 + i, "result": result}],
                "data": {"image": f"/data/upload/3/{upload}"},
            }
        )
    (root / "project-3-at-2024-05-01-10-00-0a1b2c3d.json").write_text(json.dumps(tasks))
    return root


def brush_code(mask: NDArray[np.bool_]) -> list[int]:
    """As Label Studio encodes a stroke: the RGBA bytes of the region by @thi.ng/rle-pack, whose README says how.

    Runs are written as runs, single bytes as pieces of one; Label Studio's own encoder joins single ones to longer
    pieces, which `test_brush_codes` has an example of."""
    data = np.repeat(mask.astype(np.uint8).ravel() * 255, 4)
    edges = np.flatnonzero(np.diff(data)) + 1
    runs = zip([0, *edges.tolist()], [*edges.tolist(), data.size], strict=True)
    sizes = (3, 4, 8, 16)
    bits = f"{data.size:032b}" + f"{8 - 1:05b}" + "".join(f"{size - 1:04b}" for size in sizes)
    for start, stop in runs:
        value = int(data[start])
        while start < stop:
            length = min(stop - start, 1 << sizes[-1])
            which = next(i for i, size in enumerate(sizes) if length <= 1 << size)
            bits += f"{int(length > 1)}{which:02b}{length - 1:0{sizes[which]}b}{value:08b}"
            start += length
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


def label_studio_region(kind: str, label: str, **value: Any) -> dict[str, Any]:
    """One region of the JSON export, as the pages of Label Studio's tags document them."""
    return {
        "id": f"{kind}-{label}", "type": f"{kind}labels", "from_name": "tag", "to_name": "image", "origin": "manual",
        "original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0,
        "value": {**value, f"{kind}labels": [label]},
    }  # fmt: skip


def label_studio_json(root: Path, count: int = 5) -> Path:
    """The JSON export alone: a brush stroke and a polygon, and choices beside them, which are of no pixels."""
    tasks = []
    for i in range(count):
        upload = f"{i:08x}-street{i}.jpg"
        save(root / "images" / upload, picture(i))
        car = (np.array(corners(CAR)).reshape(-1, 2) * 100 / (WIDTH, HEIGHT)).tolist()
        regions = [
            label_studio_region("brush", "road", format="rle", rle=brush_code(box_mask(ROAD))),
            label_studio_region("polygon", "car", points=car, closed=True),
            {"from_name": "weather", "to_name": "image", "type": "choices", "value": {"choices": ["rain"]}},
        ]
        tasks.append(
            {
                "id": 11 + i,
                "annotations": [{"id": 20 + i, "was_cancelled": False, "result": regions}],
                "predictions": [],
                "data": {"image": f"/data/upload/3/{upload}"},
            }
        )
    (root / "project-3-at-2024-05-01-10-00-0a1b2c3d.json").write_text(json.dumps(tasks))
    return root


# Roboflow, tutorials and toolkits -----------------------------------------------------------------------------------


def roboflow(root: Path) -> Path:
    """Roboflow's "Semantic Segmentation Masks": x.jpg, x_mask.png and _classes.csv in each split."""
    for split, count in (("train", 4), ("valid", 2), ("test", 1)):
        for i in range(count):
            stem = f"{split}{i}_jpg.rf.0123456789abcdef"
            save(root / split / f"{stem}.jpg", picture(i))
            save(root / split / f"{stem}_mask.png", ids(i, (0, 1, 2)))
        (root / split / "_classes.csv").write_text("Pixel Value, Class\n0, background\n1, road\n2, car\n")
    return root


def kaggle_camvid(root: Path) -> Path:
    """Kaggle's CamVid: train/ train_labels/ ..., RGB masks called x_L, class_dict.csv with Void."""
    table = {0: (64, 128, 64), 1: (192, 0, 128), 2: (0, 0, 0)}
    for split, count in (("train", 4), ("val", 2), ("test", 1)):
        for i in range(count):
            save(root / split / f"0001TP_{i:06}.png", picture(i))
            save(root / f"{split}_labels" / f"0001TP_{i:06}_L.png", colours(ids(i, (0, 1, 2)), table))
    (root / "class_dict.csv").write_text("name,r,g,b\nAnimal,64,128,64\nArchway,192,0,128\nVoid,0,0,0\n")
    return root


def mmsegmentation(root: Path) -> Path:
    """mmsegmentation: img_dir/ and ann_dir/ with split folders."""
    return _pairs(root, {"train": 4, "val": 2}, "img_dir/{}", "ann_dir/{}")


def _pairs(
    root: Path, splits: Mapping[str, int], images: str, masks: str, image: str = "{}.jpg", mask: str = "{}.png"
) -> Path:
    """Index masks of 0, 1, 2 and void under any names."""
    for split, count in splits.items():
        for i in range(count):
            save(root / images.format(split) / image.format(i), picture(i))
            save(root / masks.format(split) / mask.format(i), ids(i, (0, 1, 2, 255)))
    return root


def image_label(root: Path) -> Path:
    return _pairs(root, {"": 5}, "image", "label")


def images_masks_capital(root: Path) -> Path:
    return _pairs(root, {"": 5}, "Images", "Masks")


def images_prepped(root: Path) -> Path:
    """keras-segmentation's example."""
    return _pairs(root, {"train": 5, "test": 2}, "images_prepped_{}", "annotations_prepped_{}")


def beside(root: Path) -> Path:
    return _pairs(root, {"": 5}, "", "", "{}.jpg", "{}_mask.png")


def beside_by_suffix(root: Path) -> Path:
    return _pairs(root, {"": 5}, "", "", "{}.jpg", "{}.png")


def prefixes(root: Path) -> Path:
    return _pairs(root, {"": 12}, "images", "masks", "image_{}.png", "mask_{}.png")


def suffix(root: Path) -> Path:
    return _pairs(root, {"": 12}, "images", "masks", "{}.png", "{}_P.png")


def double_suffix(root: Path) -> Path:
    return _pairs(root, {"": 12}, "images", "masks", "{}.jpg", "{}.jpg.png")


def binary_masks(root: Path, count: int = 5) -> Path:
    """masks/road/0.png and masks/car/0.png; a class that a picture does not show has no file."""
    for i in range(count):
        save(root / "images" / f"{i}.jpg", picture(i))
        save(root / "masks" / "road" / f"{i}.png", box_mask(ROAD).astype(np.uint8) * 255)
        if i != 3:
            save(root / "masks" / "car" / f"{i}.png", box_mask(CAR).astype(np.uint8))
    return root


def ade20k(root: Path) -> Path:
    """ADEChallengeData2016 in small: 0 is void, names from objectInfo150.txt."""
    base = root / "ADEChallengeData2016"
    for split, short, count in (("training", "train", 4), ("validation", "val", 2)):
        for i in range(count):
            save(base / "images" / split / f"ADE_{short}_{i:08}.jpg", picture(i))
            save(base / "annotations" / split / f"ADE_{short}_{i:08}.png", ids(i, range(151)))
    rows = [f"{i}\t0.1\t11664\t1172\t{name}, synonym" for i, name in enumerate(ADE_NAMES, 1)]
    (base / "objectInfo150.txt").write_text("Idx\tRatio\tTrain\tVal\tName\n" + "\n".join(rows) + "\n")
    return root


# Own classes in the layout of a benchmark ---------------------------------------------------------------------------


def camvid_own(root: Path) -> Path:
    """classes.yaml: [background, road, car] beside train/ trainannot/."""
    for split, count in (("train", 4), ("val", 2)):
        for i in range(count):
            save(root / split / f"{i}.jpg", picture(i))
            save(root / f"{split}annot" / f"{i}.png", ids(i, (0, 1, 2, 255)))
    (root / "classes.yaml").write_text("[background, road, car]")
    return root


def camvid_unnamed(root: Path) -> Path:
    """The same without any file of classes."""
    (camvid_own(root) / "classes.yaml").unlink()
    return root


def voc_own(root: Path, count: int = 5) -> Path:
    """VOC's folders with own classes and nothing that names them; names with dots, pictures that are PNG."""
    names = [f"cam.front.{i:04}" for i in range(count)]
    for i, name in enumerate(names):
        save(root / "JPEGImages" / f"{name}.png", picture(i))
        save(root / "SegmentationClass" / f"{name}.png", ids(i, (0, 1, 2, 255)), VOC_PALETTE)
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "all.txt").write_text("".join(f"{name}\n" for name in names))
    return root


TREES: dict[str, tuple[str, Callable[[Path], Path], int]] = {
    "CVAT segmentation mask": ("voc-layout", cvat, 5),
    "CVAT segmentation mask with subsets": ("voc-layout", cvat_subsets, 6),
    "CVAT CamVid": ("camvid-layout", cvat_camvid, 5),
    "CVAT COCO": ("coco", cvat_coco, 5),
    "COCO 2017": ("coco", coco2017, 6),
    "COCO of Roboflow": ("coco", coco_roboflow, 7),
    "labelme": ("labelme", labelme, 5),
    "labelme with splits": ("labelme", labelme_splits, 6),
    "labelme exported": ("labelme", labelme_exported, 5),
    "labelme2voc": ("voc-layout", labelme2voc, 5),
    "YOLO": ("yolo", yolo, 6),
    "YOLO of Roboflow": ("yolo", yolo_roboflow, 7),
    "YOLO of Label Studio": ("yolo", yolo_label_studio, 5),
    "Ultralytics semantic": ("ultralytics", ultralytics, 6),
    "Ultralytics with a label_mapping": ("ultralytics", ultralytics_mapping, 6),
    "Label Studio": ("label-studio", label_studio, 5),
    "Label Studio's JSON": ("label-studio", label_studio_json, 5),
    "Roboflow": ("one-folder", roboflow, 7),
    "Kaggle's CamVid": ("folder", kaggle_camvid, 7),
    "mmsegmentation": ("folder", mmsegmentation, 6),
    "image/ label/": ("folder", image_label, 5),
    "Images/ Masks/": ("folder", images_masks_capital, 5),
    "images_prepped_train/": ("folder", images_prepped, 7),
    "0.jpg 0_mask.png": ("one-folder", beside, 5),
    "0.jpg 0.png": ("one-folder", beside_by_suffix, 5),
    "image_0 mask_0": ("folder", prefixes, 12),
    "x x_P": ("folder", suffix, 12),
    "0.jpg 0.jpg.png": ("folder", double_suffix, 12),
    "binary masks": ("binary-masks", binary_masks, 5),
    "ADE20K": ("ade20k", ade20k, 6),
    "CamVid's layout, own classes": ("camvid-layout", camvid_own, 6),
    "CamVid's layout, unnamed classes": ("camvid-layout", camvid_unnamed, 6),
    "VOC's layout, own classes": ("voc-layout", voc_own, 5),
}
"""Name -> format that must be recognised, builder, number of pictures in all splits together."""

WITHOUT_VOID = frozenset(TREES) - {
    "labelme", "labelme2voc", "Ultralytics semantic", "Ultralytics with a label_mapping", "Kaggle's CamVid",
    "mmsegmentation", "image/ label/", "Images/ Masks/", "images_prepped_train/", "0.jpg 0_mask.png", "0.jpg 0.png",
    "image_0 mask_0", "x x_P", "0.jpg 0.jpg.png", "ADE20K", "CamVid's layout, own classes",
    "CamVid's layout, unnamed classes", "VOC's layout, own classes",
}  # fmt: skip
"""Trees in which nothing is void."""

SCENES = frozenset({
    "CVAT segmentation mask", "CVAT segmentation mask with subsets", "CVAT CamVid", "CVAT COCO", "COCO 2017",
    "COCO of Roboflow", "labelme with splits", "labelme exported", "YOLO", "YOLO of Roboflow", "YOLO of Label Studio",
    "Label Studio", "Label Studio's JSON",
})  # fmt: skip
"""Trees of which each mask is `scene`, but for the order of the classes."""
