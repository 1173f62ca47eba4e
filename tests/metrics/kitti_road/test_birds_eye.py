"""The view from above, cell by cell and as a picture."""

import numpy as np
import pytest

from atonce.errors import DataError
from atonce.metrics.kitti_road.birds_eye import BirdsEye

# A camera 1.6 m above the road that looks slightly down and to the left; made up, in the format of the benchmark.
CALIBRATION = """P0: 1 0 0 0 0 1 0 0 0 0 1 0
P2: 7.2e+02 0.0 6.1e+02 4.5e+01 0.0 7.2e+02 1.7e+02 2.0e-01 0.0 0.0 1.0 2.7e-03

R0_rect: 9.999e-01 9.8e-03 -7.4e-03 -9.8e-03 9.999e-01 -4.3e-03 7.4e-03 4.4e-03 9.999e-01
Tr_cam_to_road: 0.9999 -1.1e-02 -7.3e-03 1.9e-02 1.1e-02 0.9998 -1.3e-02 -1.6e+00 7.5e-03 1.3e-02 9.998e-01 2.7e-01
"""
HEIGHT, WIDTH = 375, 1242


@pytest.fixture
def calibration(tmp_path):
    path = tmp_path / "um_000000.txt"
    path.write_text(CALIBRATION)
    return path


def matrices(path):
    """P2, R0_rect and Tr_cam_to_road as 4 x 4, read independently of the package."""
    read = {}
    for line in path.read_text().splitlines():
        if ":" in line:
            key, values = line.split(":")
            read[key] = [float(value) for value in values.split()]
    homogeneous = np.eye(4), np.eye(4), np.eye(4)
    homogeneous[0][:3] = np.reshape(read["P2"], (3, 4))
    homogeneous[1][:3, :3] = np.reshape(read["R0_rect"], (3, 3))
    homogeneous[2][:3] = np.reshape(read["Tr_cam_to_road"], (3, 4))
    return homogeneous


def pixels_of_cells(path):
    """(u, v), counted as the benchmark's kit does, of the centres of all cells, (800, 400) each."""
    project, rectify, to_road = matrices(path)
    row, column = np.mgrid[:800, :400]
    x, z = -10 + (column + 0.5) * 0.05, 46 - (row + 0.5) * 0.05
    points = np.stack([x, np.zeros_like(x), z, np.ones_like(x)]).astype(np.float32).astype(np.float64)
    u, v, w, _ = np.tensordot(project @ rectify @ np.linalg.inv(to_road), points, 1)
    return u / w, v / w


def assert_cells(path, height, width, seed):
    numbers = np.random.default_rng(seed).integers(1, 2**31, (height, width))
    birdseye = BirdsEye.from_calibration(path)
    view, valid = birdseye(numbers), birdseye.valid(height, width)
    assert view.shape == valid.shape == (800, 400)
    assert ((view > 0) == valid).all()
    u, v = pixels_of_cells(path)
    seen = (u >= 1) & (u <= width) & (v >= 1) & (v <= height)
    expected = np.zeros((800, 400), numbers.dtype)
    expected[seen] = numbers[np.floor(v[seen]).astype(int) - 1, np.floor(u[seen]).astype(int) - 1]
    # Written in another order of operations: a centre that meets a pixel's edge may fall on either side.
    assert np.count_nonzero(view != expected) <= 2
    return valid


def test_every_cell_takes_the_pixel_of_its_centre(calibration):
    valid = assert_cells(calibration, HEIGHT, WIDTH, seed=0)
    assert 0.9 < valid.mean() < 1
    assert valid[0].all()  # far away the whole width is in view
    assert not valid[-1, 0]  # near by the corners are not
    assert not valid[-1, -1]


@pytest.mark.parametrize("size", [(1, 1), (200, 620)])
def test_other_sizes(calibration, size):
    assert_cells(calibration, size[0], size[1], seed=1)


def test_stripes_on_the_road_come_out_straight_and_parallel(calibration):
    """Paint the road black and white by the metre, photograph it, and look from above."""
    birdseye = BirdsEye.from_calibration(calibration)
    v, u = np.mgrid[:HEIGHT, :WIDTH] + 1.0
    x, _, w = np.linalg.inv(birdseye.homography) @ np.stack([u.ravel(), v.ravel(), np.ones(u.size)])
    stripes = ((np.floor(x / w) % 2) * 200).astype(np.uint8).reshape(HEIGHT, WIDTH)
    view = birdseye(stripes)
    columns = ((np.floor(-10 + (np.arange(400) + 0.5) * 0.05) % 2) * 200).astype(np.uint8)
    inside = np.arange(400) % 20  # leave out the cells next to an edge: a pixel is wider than a cell
    near, clear = slice(400, 700), (inside > 2) & (inside < 17)
    seen = birdseye.valid(HEIGHT, WIDTH)[near][:, clear]
    same = (view[near][:, clear] == columns[clear])[seen]
    assert same.mean() > 0.995


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, bool])
@pytest.mark.parametrize("channels", [(), (1,), (3,)])
def test_shape_and_dtype_are_kept(calibration, dtype, channels):
    birdseye = BirdsEye.from_calibration(str(calibration))
    view = birdseye(np.ones((HEIGHT, WIDTH, *channels), dtype))
    assert view.shape == (800, 400, *channels)
    assert view.dtype == dtype
    assert (view.reshape(800, 400, -1)[..., 0] == birdseye.valid(HEIGHT, WIDTH)).all()


def test_one_view_serves_pictures_of_several_sizes(calibration):
    birdseye = BirdsEye.from_calibration(calibration)
    small, large = np.full((100, 200), 3, np.uint8), np.full((HEIGHT, WIDTH), 5, np.uint8)
    before = birdseye(large)
    assert (birdseye(small) == BirdsEye.from_calibration(calibration)(small)).all()
    assert (birdseye(large) == before).all()


def test_behind_the_camera_nothing_is_seen():
    assert not BirdsEye([[1, 0, 0], [0, 1, 0], [0, -1, 0]]).valid(HEIGHT, WIDTH).any()


def test_refusals(calibration, tmp_path):
    birdseye = BirdsEye.from_calibration(calibration)
    for shape in ((5,), (0, 4), (2, 3, 4, 5)):
        with pytest.raises(ValueError, match="image is"):
            birdseye(np.zeros(shape))
    with pytest.raises(ValueError, match="homography"):
        BirdsEye(np.eye(2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("Tr_cam_to_road", "Tr"), "no Tr_cam_to_road"),
        (lambda text: "", "no P2, R0_rect, Tr_cam_to_road"),
        (lambda text: text.replace("R0_rect: 9.999e-01", "R0_rect:"), "R0_rect is .*expected 9 numbers"),
        (lambda text: text.replace("P2: 7.2e+02", "P2: seven"), "P2 is 'seven.*expected 12 numbers"),
        (lambda text: text.replace("P2: 7.2e+02", "P2: nan"), "P2 is not finite"),
        (
            lambda text: text[: text.index("Tr_cam")] + "Tr_cam_to_road: 0 0 0 0 0 0 0 0 0 0 0 0",
            "Tr_cam_to_road cannot be inverted",
        ),
    ],
)
def test_broken_calibration_is_one_clear_line(calibration, change, message):
    calibration.write_text(change(CALIBRATION))
    with pytest.raises(DataError, match=message) as caught:
        BirdsEye.from_calibration(calibration)
    assert str(calibration) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_binary_files(tmp_path):
    with pytest.raises(DataError, match=r"gone\.txt: No such file"):
        BirdsEye.from_calibration(tmp_path / "gone.txt")
    with pytest.raises(DataError, match="Is a directory"):
        BirdsEye.from_calibration(tmp_path)
    (tmp_path / "picture.txt").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(DataError, match="not a text file"):
        BirdsEye.from_calibration(tmp_path / "picture.txt")


def test_real_calibrations(real_data):
    paths = sorted((real_data / "data" / "kitti_road_sample").glob("*/calib/*.txt"))
    assert len(paths) >= 9
    for path in paths:
        assert 0.9 < assert_cells(path, HEIGHT, WIDTH, seed=2).mean() < 1
