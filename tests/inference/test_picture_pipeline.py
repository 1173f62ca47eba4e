"""Many pictures at once: the same results as one after the other, in order, in bounded memory, and no more than asked."""

from __future__ import annotations

import gc
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import atonce
from atonce.errors import DataError, StorageError
from atonce.evaluation.kitti_scores import RoadSegmenter
from atonce.inference import NetworkPredictor, Predictor, load, picture_pipeline
from atonce.inference.folders import predict_files
from atonce.inference.inputs import find_jobs
from atonce.inference.picture_pipeline import segment_pictures
from atonce.inference.result import Result
from atonce.labels import CAMVID
from atonce.model import FCN, initialise
from atonce.model_file import ModelFile
from atonce.recipes import FCNConfig
from tests.data import trees
from tests.processes import PATIENCE, start, wait_until
from tests.systems import needs_signals

SIZES = [(48, 64)] * 7 + [(33, 50)] * 2 + [(64, 48), (48, 64), (96, 130)]


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def predictor() -> NetworkPredictor:
    """A quarter of VGG-16's width: wide enough for the kernels that wide networks have."""
    torch.manual_seed(0)
    network = initialise(FCN(FCNConfig(width=0.25, head_width=32), CAMVID.num_classes))
    return NetworkPredictor(ModelFile(network.eval(), CAMVID), device="cpu")


@dataclass(frozen=True)
class Opened:
    image: NDArray[np.uint8]


class Pictures:
    """Pictures by number; remembers what was asked, and with how many threads."""

    def __init__(self, sizes: Sequence[tuple[int, int]] = SIZES, broken: Sequence[int] = ()) -> None:
        random = np.random.default_rng(3)
        self.images = [random.integers(0, 256, (*size, 3), np.uint8) for size in sizes]
        self.broken = broken
        self.loaded, self.finished, self.threads = list[int](), list[int](), dict[int, int]()
        self.most = 0
        self.lock = threading.Lock()

    def size_of(self, number: int) -> tuple[int, int] | None:
        height, width = self.images[number].shape[:2]
        return height, width

    def load(self, number: int) -> Opened:
        with self.lock:
            self.loaded.append(number)
        if number in self.broken:
            raise DataError(f"{number} is broken")
        return Opened(self.images[number])

    def finish(self, number: int, opened: Opened, result: Result) -> tuple[torch.Tensor, NDArray[np.uint8]]:
        with self.lock:
            self.finished.append(number)
            self.threads[number] = torch.get_num_threads()
        return result.logits, result.labels


@pytest.mark.parametrize("engine", ["torch", "torch-bf16"])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_results_are_those_of_one_after_the_other_bit_for_bit_whatever_the_threads(
    predictor: NetworkPredictor, engine: str, threads: int
) -> None:
    segment = NetworkPredictor(predictor.model_file, device="cpu", engine=engine)
    work, before = Pictures(), torch.get_num_threads()
    expected = [segment.segment(image) for image in work.images]
    torch.set_num_threads(threads)
    found = list(segment_pictures(segment, range(len(SIZES)), work))
    assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    assert [number for number, _ in found] == list(range(len(SIZES)))
    for one, (number, outcome) in zip(expected, found, strict=True):
        logits, labels = outcome.get()
        assert torch.equal(logits, one.logits), number
        np.testing.assert_array_equal(labels, one.labels)
    assert set(work.threads.values()) == {1}


@pytest.mark.usefixtures("two_threads")
def test_a_process_with_one_of_many_pictures_computes_it_as_one_process_with_all_does(
    predictor: NetworkPredictor,
) -> None:
    share, alone = Pictures(), Pictures()
    list(segment_pictures(predictor, [3], share, total=len(SIZES)))
    list(segment_pictures(predictor, [3], alone))
    assert (share.threads, alone.threads) == ({3: 1}, {3: 2})


@pytest.mark.usefixtures("two_threads")
def test_on_a_gpu_pictures_of_one_size_go_through_together_and_none_is_left_with_many(
    predictor: NetworkPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NetworkPredictor, "computes_in_calling_thread", False)  # as on a GPU
    together: list[int] = []
    segment_together = predictor.segment_together

    def spy(images: Sequence[NDArray[np.uint8]]) -> list[Result]:
        together.append(len(images))
        return segment_together(images)

    monkeypatch.setattr(predictor, "segment_together", spy)
    work = Pictures([(32, 48)] * 13 + [(48, 32)] * 3)
    found = list(segment_pictures(predictor, range(16), work))
    assert sum(together) == 16
    assert max(together) == 6
    for number, outcome in found:
        torch.testing.assert_close(outcome.get()[0], predictor.segment(work.images[number]).logits)


@pytest.mark.usefixtures("two_threads")
def test_one_that_cannot_be_read_is_told_in_its_place(predictor: NetworkPredictor) -> None:
    found = list(segment_pictures(predictor, range(6), Pictures([(32, 48)] * 6, broken=[2])))
    assert [number for number, outcome in found if outcome.error] == [2]
    with pytest.raises(DataError, match="2 is broken"):
        found[2][1].get()


@pytest.mark.usefixtures("two_threads")
def test_no_more_is_read_than_is_soon_needed_and_nothing_after_the_caller_has_stopped(
    predictor: NetworkPredictor,
) -> None:
    work = Pictures([(32, 48)] * 60)
    segmented = segment_pictures(predictor, range(60), work)
    ahead = [len(work.loaded) - done for done, _ in enumerate((next(segmented) for _ in range(20)), 1)]
    assert max(ahead) <= 2 + 2
    segmented.close()
    read = len(work.loaded)
    assert read < 60
    assert workers() == []
    assert len(work.loaded) == read


@pytest.mark.usefixtures("two_threads")
def test_a_full_disk_is_told_when_the_workers_have_ended(predictor: NetworkPredictor, tmp_path: Path) -> None:
    for number in range(12):
        trees.save(tmp_path / "in" / f"{number:02}.png", trees.picture(number, (60, 40)))
    jobs = find_jobs([tmp_path / "in"], out=tmp_path / "out")

    def fill_up(files: list[Path]) -> None:
        if files[-1].stem == "00":
            raise StorageError("the disk is full")
        # Where the caller is gone, the collector meets what it has left in this thread.
        time.sleep(0.3)
        gc.collect()

    with pytest.raises(StorageError):
        predict_files(predictor, jobs, tmp_path / "out", on_files=fill_up)
    assert workers() == []


def workers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("pictures")]


@pytest.mark.usefixtures("two_threads")
def test_a_picture_too_large_for_a_worker_has_all_threads_and_nothing_beside_it(
    predictor: NetworkPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_pipeline, "_WORKER_BYTES", 2_000_000)
    work = Pictures([(32, 48)] * 5 + [(96, 130)] + [(32, 48)] * 5)
    finish = work.finish

    def alone(number: int, opened: Opened, result: Result) -> tuple[torch.Tensor, NDArray[np.uint8]]:
        if number == 5:
            assert sorted(work.finished) == [0, 1, 2, 3, 4]
            assert len(work.loaded) == 6
        return finish(number, opened, result)

    monkeypatch.setattr(work, "finish", alone)
    assert all(outcome.error is None for _, outcome in segment_pictures(predictor, range(11), work))
    assert {number for number, threads in work.threads.items() if threads == 2} == {5}


class OneAtATime:
    """A network of somebody's own, which must not be called by two threads at once."""

    labels = CAMVID

    def __init__(self, predictor: Predictor) -> None:
        self.predictor, self.inside = predictor, 0

    def __call__(self, picture: NDArray[np.uint8], /) -> Result:
        self.inside += 1
        assert self.inside == 1
        result = self.predictor.segment(picture)
        self.inside -= 1
        return result


@pytest.mark.usefixtures("two_threads")
def test_networks_of_others_are_called_by_one_thread_at_a_time_and_may_use_all(predictor: NetworkPredictor) -> None:
    work = Pictures([(32, 48)] * 8)
    found = list(segment_pictures(OneAtATime(predictor), range(8), work))
    assert all(outcome.error is None for _, outcome in found)
    assert set(work.threads.values()) == {2}


@pytest.mark.usefixtures("two_threads")
def test_a_network_seen_as_road_is_computed_side_by_side_too(predictor: NetworkPredictor) -> None:
    work = Pictures([(32, 48)] * 8)
    road = RoadSegmenter(predictor)
    for number, outcome in segment_pictures(road, range(8), work):
        np.testing.assert_array_equal(outcome.get()[1], road(work.images[number]).labels)
    assert set(work.threads.values()) == {1}


def written(out: Path) -> dict[str, bytes]:
    """The pixels of the label pictures, and the overlays; a label's tag tells when its source was changed."""
    files = {path.relative_to(out).as_posix(): path for path in sorted(out.rglob("*")) if path.is_file()}
    assert not [name for name in files if ".tmp" in name]
    found = {}
    for name, path in files.items():
        with Image.open(path) as picture:
            found[name] = picture.tobytes()
    return found


@needs_signals
def test_a_folder_that_is_stopped_has_whole_files_only_and_goes_on_to_the_same(
    tiny_model: Path, tmp_path: Path
) -> None:
    # Enough work that the signal, which is sent after the first label picture, comes long before its end.
    for number in range(24):
        trees.save(tmp_path / "in" / f"{number:02}.png", trees.picture(number, (320, 240)))
    atonce.predict(tiny_model, tmp_path / "in", out=tmp_path / "whole")
    out = tmp_path / "out"
    process = start("predict", tiny_model, tmp_path / "in", "--out", out)
    wait_until(lambda: list((out / "labels").glob("[0-9]*.png")), process)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 143, said
    stopped, whole = written(out), written(tmp_path / "whole")
    assert stopped.items() < whole.items()
    summary = atonce.predict(tiny_model, tmp_path / "in", out=out)
    assert summary.skipped == sum(name.startswith("labels/") for name in stopped)
    assert written(out) == whole


def test_two_files_with_one_long_beginning_are_written_at_once(tiny_model: Path, tmp_path: Path) -> None:
    long = "a_camera_on_the_left_side_of_the_car_2026_11_27_frame_"
    for number in range(8):
        trees.save(tmp_path / "in" / f"{long}{number}.png", trees.picture(number, (60, 40)))
    predictor = load(tiny_model)
    summary = atonce.predict(predictor, tmp_path / "in", out=tmp_path / "out")
    assert (summary.done, summary.broken) == (8, [])
    for number in range(8):
        with Image.open(tmp_path / "out" / "labels" / f"{long}{number}.png") as picture:
            expected = predictor(tmp_path / "in" / f"{long}{number}.png").labels
            np.testing.assert_array_equal(np.asarray(picture), expected)
