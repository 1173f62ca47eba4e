"""The zip that the benchmark takes."""

import io
import stat
import zipfile

import numpy as np
import pytest
from PIL import Image

from atonce.data import open_dataset
from atonce.errors import DataError, StorageError, WeightsError
from atonce.evaluation.kitti_scores import RoadMetric, RoadSegmenter, read_ground_truth_rgb
from atonce.evaluation.kitti_submission import find_testing, write_submission
from atonce.evaluation.scoring import score_items
from atonce.labels import CAMVID, KITTI_ROAD, LabelSpec
from atonce.metrics.kitti_road.birds_eye import BirdsEye
from atonce.metrics.kitti_road.road_evaluator import RoadEvaluator
from tests.data.road_trees import data_road
from tests.evaluation.predictors import Colours

NAMES = ("um_000000", "um_000007", "umm_000001", "uu_000095")


@pytest.fixture
def data(tmp_path):
    return data_road(tmp_path / "data_road", "testing", NAMES)


def submit(data, out, kind="road", labels=KITTI_ROAD, progress=None):
    write_submission(Colours(labels), find_testing(data, kind).entries, out, progress=progress)
    with zipfile.ZipFile(out) as archive:
        assert archive.testzip() is None
        return {info.filename: Image.open(io.BytesIO(archive.read(info))) for info in archive.infolist()}


@pytest.mark.parametrize("given", ["", "testing"])
def test_names_sizes_and_kinds_are_the_benchmarks(data, tmp_path, given):
    steps = []
    views = submit(data / given, tmp_path / "new/out.zip", progress=lambda done, total: steps.append((done, total)))
    assert list(views) == ["um_road_000000.png", "um_road_000007.png", "umm_road_000001.png", "uu_road_000095.png"]
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    for view in views.values():
        assert (view.format, view.mode, view.size) == ("PNG", "L", (400, 800))


def test_a_folder_above_data_road_is_fine_too(data):
    assert find_testing(data.parent, "road") == find_testing(data, "road")


def test_lanes_are_of_um_only_and_the_others_are_told(data, tmp_path):
    assert list(submit(data, tmp_path / "out.zip", "lane")) == ["um_lane_000000.png", "um_lane_000007.png"]
    assert find_testing(data, "lane").left_out == ("umm_000001", "uu_000095")
    assert find_testing(data, "road").left_out == ()


def test_what_evaluate_says_is_what_the_benchmark_will_say(tmp_path):
    """The bytes in the zip count the same, at all thresholds, as the probabilities do when seen from above."""
    names = ("um_000000", "umm_000003", "uu_000001")
    data = data_road(tmp_path / "data_road", "training", names)
    dataset = open_dataset(data)
    items = (*dataset.splits["train"], *dataset.splits["val"])
    measure = RoadMetric(items, "road", from_above=True)
    score_items(RoadSegmenter(Colours(CAMVID)), dataset, items, metrics=[measure])
    views = submit(data / "training", tmp_path / "out.zip", labels=CAMVID)
    fromzip = RoadEvaluator()
    for name in names:
        road_name = name.replace("_", "_road_")
        truth = read_ground_truth_rgb(data / f"training/gt_image_2/{road_name}.png")
        view = BirdsEye.from_calibration(data / f"training/calib/{name}.txt")
        fromzip.add(np.asarray(views[f"{road_name}.png"]), view(truth))
    assert fromzip.positives > 1000
    assert (fromzip.tp == measure.pooled.tp).all()
    assert (fromzip.fp == measure.pooled.fp).all()


def test_cells_that_the_camera_does_not_see_are_zero(data, tmp_path):
    view = np.asarray(submit(data, tmp_path / "out.zip")["um_road_000000.png"])
    seen = BirdsEye.from_calibration(data / "testing/calib/um_000000.txt").valid(24, 36)
    assert seen.any()
    assert not seen.all()
    assert not view[~seen].any()
    assert view[seen].mean() > 20


def test_the_same_model_gives_the_same_bytes_and_files_can_be_read(data, tmp_path):
    submit(data, tmp_path / "a.zip")
    submit(data, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert all(stat.S_IMODE(info.external_attr >> 16) == 0o644 for info in archive.infolist())


def test_a_failure_halfway_leaves_the_old_zip(data, tmp_path):
    out = tmp_path / "zips" / "out.zip"
    submit(data, out)
    before = out.read_bytes()
    (data / "testing/image_2/umm_000001.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="umm_000001"):
        submit(data, out)
    assert out.read_bytes() == before
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize("content", [b"mine", b"", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_submission_is_not_overwritten(data, tmp_path, content):
    out = tmp_path / "holiday.zip"
    out.write_bytes(content)
    network = Colours(KITTI_ROAD)
    with pytest.raises(DataError, match=r"holiday\.zip is there already, and not an earlier one of ours"):
        write_submission(network, find_testing(data, "road").entries, out)
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("um_road_000000.png", b"of somebody else: it has a time")
    with pytest.raises(DataError, match="is there already"):
        write_submission(network, find_testing(data, "road").entries, out)
    assert network.asked == 0
    out.unlink()
    first = submit(data, out)
    assert submit(data, out).keys() == first.keys()


def test_a_missing_calibration_is_named_before_anything_is_predicted(data, tmp_path):
    (data / "testing/calib/um_000007.txt").unlink()
    network = Colours(KITTI_ROAD)
    with pytest.raises(DataError, match=r"1 of 4 pictures .*: um_000007; expected .*um_000007.txt") as raised:
        write_submission(network, find_testing(data, "road").entries, tmp_path / "out.zip")
    assert network.asked == 0
    assert "--only" not in str(raised.value)


def test_what_cannot_be_submitted(data, tmp_path):
    with pytest.raises(DataError, match="holds no image_2/"):
        find_testing(tmp_path / "nowhere", "road")
    with pytest.raises(StorageError, match="is a folder"):
        submit(data, tmp_path)
    with pytest.raises(WeightsError, match="named road"):
        submit(data, tmp_path / "out.zip", labels=LabelSpec.from_names(["cat", "dog"]))
    (data / "testing/image_2/street.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"pictures named street; expected um_000000\.png"):
        find_testing(data, "road")
    (tmp_path / "empty/image_2").mkdir(parents=True)
    with pytest.raises(DataError, match="holds no pictures"):
        find_testing(tmp_path / "empty", "road")
    with pytest.raises(DataError, match="no picture for lane"):
        find_testing(data_road(tmp_path / "other", "testing", ("uu_000000",)), "lane")
