"""Broken copies of published data sets, and what the message about each must say."""

from __future__ import annotations

from pathlib import Path

from tests.data import trees
from tests.data.broken import Case


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def _voc(root: Path, name: str) -> Path:
    return root / "VOCdevkit/VOC2012" / name


def _copy(stem: Path, source: str, target: str) -> None:
    Path(f"{stem}{target}").write_bytes(Path(f"{stem}{source}").read_bytes())


def _move(stem: Path, source: str, target: str) -> None:
    Path(f"{stem}{source}").replace(f"{stem}{target}")


CASES: dict[str, Case] = {
    "CamVid: id 12": (
        trees.camvid,
        lambda root: trees.save(root / "trainannot" / "train_00001.png", trees.ids(0, (0, 12))),
        (r"trainannot/train_00001\.png holds 12 \(432 pixels, 50 %\)", r"expected 0\.\.10, or 11, 255 for void"),
    ),
    "CamVid: listed but missing": (
        trees.camvid,
        lambda root: (root / "val" / "val_00001.png").unlink(),
        (r"val/val_00001\.png does not exist, but line 2 of val\.txt lists it",),
    ),
    "CamVid: a line with one name": (
        trees.camvid,
        lambda root: _edit(root / "train.txt", " /SegNet/CamVid/trainannot/train_00000.png", ""),
        (r"train\.txt line 1 holds 1 name; expected two",),
    ),
    "CamVid: listed twice": (
        trees.camvid,
        lambda root: _edit(root / "train.txt", "train_00001.png /", "train_00000.png /"),
        (r"train\.txt line 2 lists train_00000\.png a second time",),
    ),
    "CamVid: training picture in the validation list": (
        trees.camvid,
        lambda root: (root / "val.txt").write_text((root / "train.txt").read_text()),
        (r"train/train_00000\.png is in 'train' and in 'val'", r"mend the lists"),
    ),
    "CamVid: a list that is no text": (
        trees.camvid,
        lambda root: (root / "train.txt").write_bytes(b"\xff\xfe\x00\x01"),
        (r"train\.txt cannot be read", r"UTF-8"),
    ),
    "KITTI: picture as ground truth": (
        trees.kitti_road,
        lambda root: trees.save(root / "training/gt_image_2/uu_road_000001.png", trees.picture(0)),
        (r"gt_image_2/uu_road_000001\.png holds colours with green", r"expected black, red"),
    ),
    "KITTI: grey ground truth": (
        trees.kitti_road,
        lambda root: trees.save(root / "training/gt_image_2/uu_road_000001.png", trees.ids(0, (0, 1))),
        (r"uu_road_000001\.png is of mode L; expected RGB as the benchmark",),
    ),
    "KITTI: ground truth without picture": (
        trees.kitti_road,
        lambda root: (root / "training/image_2/umm_000001.png").unlink(),
        (r"gt_image_2/umm_road_000001\.png has no picture; expected image_2/umm_000001\.png",),
    ),
    "KITTI: a ground truth with a name of its own": (
        trees.kitti_road,
        lambda root: trees.save(root / "training/gt_image_2/um_raod_000001.png", trees.road_truth(0)),
        (r"um_raod_000001\.png is named neither as road nor as lane",),
    ),
    "KITTI: no road ground truth": (
        trees.kitti_road,
        lambda root: [p.unlink() for p in root.glob("training/gt_image_2/*_road_*")],
        (r"no ground truth of 'road' for its 15 pictures", r"try ground_truth='lane'"),
    ),
    "Cityscapes: labelIds under the name of trainIds": (
        trees.cityscapes_train_ids,
        lambda root: _copy(root / "gtFine/train/aachen/aachen_000000_000019_gtFine_label", "Ids.png", "TrainIds.png"),
        (r"labelTrainIds\.png holds 1?9|labelTrainIds\.png holds", r"expected 0\.\.18, or 255", r"are labelIds"),
    ),
    "Cityscapes: trainIds under the name of labelIds": (
        trees.cityscapes_train_ids,
        lambda root: _move(root / "gtFine/train/aachen/aachen_000000_000019_gtFine_label", "TrainIds.png", "Ids.png"),
        (r"labelIds\.png holds 255", r"expected 0\.\.33", r"made with trainIds"),
    ),
    "Cityscapes: no masks unpacked": (
        trees.cityscapes_tree,
        lambda root: (root / "gtFine/train/aachen/aachen_000001_000019_gtFine_labelIds.png").unlink(),
        (r"aachen_000001_000019_leftImg8bit\.png has no mask; expected gtFine/train/aachen/aachen_000001_000019",),
    ),
    "VOC: listed but missing": (
        trees.voc2012,
        lambda root: _voc(root, "JPEGImages/2007_000001.jpg").unlink(),
        (r"JPEGImages/2007_000001\.jpg does not exist, but line 2 of train\.txt lists it",),
    ),
    "VOC: no lists": (
        trees.voc2012,
        lambda root: [p.unlink() for p in _voc(root, "ImageSets/Segmentation").iterdir()],
        (r"ImageSets/Segmentation has no lists; expected train\.txt and val\.txt",),
    ),
    "VOC: a line of nonsense": (
        trees.voc2012,
        lambda root: _edit(_voc(root, "ImageSets/Segmentation/val.txt"), "2008_000000", "2008_000000 1 -1"),
        (r"val\.txt line 1 holds 3 names",),
    ),
}
