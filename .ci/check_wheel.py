"""The wheel alone, far from the repository: built, installed into a fresh environment, used as a user would.

    python .ci/check_wheel.py               what it needs is lent by this Python's environment: nothing is downloaded
    python .ci/check_wheel.py --download    what it needs is installed, too, as the wheel asks for it

The environment and all that is run in it are in a temporary folder. What the Dockerfile starts is run as a script.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.request
import venv
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.parser import HeaderParser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REPOSITORY = "https://example.org/team/atonce"
TINY = ["train.steps=4", "train.batch_size=2", "data.crop=[48,64]", "model.width=0.125", "model.head_width=16"]
"""Overrides of the recipe "streets": the smallest run that is a run."""


class Wheel:
    """A wheel in an environment of its own.

    Attributes:
        file: the wheel.
        python: the environment's Python.
        work: the folder that commands are run in.
    """

    def __init__(self, folder: Path) -> None:
        self.work = folder / "work"
        self.work.mkdir()
        self.file = build(folder / "dist")
        self.bin = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
        self.python = self.bin / "python"
        # Nothing of the repository is in reach; caches and settings are those of a new user.
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "ATONCE"))}
        self.environment |= {"HOME": str(folder / "home"), "COLUMNS": "80", "MPLCONFIGDIR": str(folder / "matplotlib")}
        (folder / "home").mkdir()

    def install(self, *, download: bool) -> None:
        """Make the environment and install the wheel; its packages, too, or those of this Python are lent to it."""
        venv.create(self.bin.parent, with_pip=True)
        pip = [self.python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        if download:
            self.call(*pip, f"{self.file}[serve]", seconds=3600)
            return
        (site,) = self.call(self.python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").splitlines()
        lent = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
        lent |= {path for path in sys.path if path.endswith("site-packages")}
        (Path(site) / "lent.pth").write_text("\n".join(sorted(lent)) + "\n")
        self.call(*pip, "--no-deps", "--no-index", "--ignore-installed", self.file)

    def call(self, *words: object, code: int = 0, seconds: float = 900) -> str:
        """Run a command to its end and return what it printed. Raises AssertionError: another exit code."""
        command = [str(word) for word in words]
        done = subprocess.run(
            command, cwd=self.work, env=self.environment, capture_output=True, text=True, timeout=seconds, check=False
        )
        assert done.returncode == code, f"{command}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + (done.stderr if code else "")

    def atonce(self, *words: object, code: int = 0) -> str:
        """Run the command `atonce` as the wheel installed it."""
        return self.call(self.bin / "atonce", *words, code=code)


def build(out: Path) -> Path:
    """Build the sdist, and the wheel from it, and let twine look at both."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT]
    subprocess.run(command, check=True, env={**os.environ, "ATONCE_REPOSITORY": REPOSITORY}, stdout=subprocess.DEVNULL)
    files = sorted(out.iterdir())
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *files], check=True, stdout=subprocess.DEVNULL)
    (wheel,) = out.glob("*.whl")
    return wheel


def everything_is_in_it(wheel: Wheel) -> None:
    """Every file of src/atonce that git knows is in the wheel: recipes, pages, scripts, styles."""
    known = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "src/atonce"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    expected = {path.removeprefix("src/") for path in known if (ROOT / path).is_file()}
    with zipfile.ZipFile(wheel.file) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert packed == expected, f"only here: {expected - packed}; only in the wheel: {packed - expected}"


def its_metadata_lead_somewhere(wheel: Wheel) -> None:
    """Addresses and links of the README are those of the repository that built it."""
    with zipfile.ZipFile(wheel.file) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        text = archive.read(name).decode("utf-8")
    metadata = HeaderParser().parsestr(text)
    addresses = dict(value.split(", ") for value in metadata.get_all("Project-URL", []))
    assert addresses["Repository"] == REPOSITORY and len(addresses) >= 4, addresses
    targets = re.findall(r"\]\(([^)\s]+)\)", str(metadata.get_payload()))
    beside = [target for target in targets if not target.startswith(("https://", "#"))]
    assert len(targets) > 30 and not beside, f"links that lead nowhere from an index: {beside}"
    assert f"{REPOSITORY}/raw/v{metadata['Version']}/docs/scene.jpg" in targets


def it_is_what_is_imported(wheel: Wheel) -> None:
    """The code that runs is the wheel's, not the repository's."""
    where = wheel.call(wheel.python, "-c", "import atonce; print(atonce.__file__)").strip()
    assert Path(where).is_relative_to(wheel.bin.parent), where
    assert wheel.atonce("--version").startswith("atonce ")


def the_demo_runs(wheel: Wheel) -> None:
    """Streets are drawn, a network is trained, scored and looked at."""
    out = wheel.atonce("demo", "--out", "demo", "--train", 12, "--val", 3, "--max-minutes", 0.05)
    assert "mean IoU" in out
    for name in ("report.html", "model.safetensors", "recipe.yaml", "overlays", "data/classes.yaml"):
        assert (wheel.work / "demo" / name).exists(), name


def data_are_examined_trained_on_and_segmented(wheel: Wheel) -> None:
    """`doctor`, `train`, `evaluate` and `predict` on a folder of pictures and masks."""
    wheel.atonce("streets", "data", "--train", 6, "--val", 3, "--height", 48, "--width", 64)
    assert "9 pictures" in wheel.atonce("doctor", "data")
    settings = [word for override in TINY for word in ("--set", override)]
    assert "report " in wheel.atonce("train", "data", "--out", "run", "--recipe", "streets", *settings)
    assert json.loads(wheel.atonce("evaluate", "run", "data", "--json"))["split"] == "val"
    assert "3 of 3 pictures segmented" in wheel.atonce("predict", "run", "data/val/images", "--out", "seen")
    assert len(list((wheel.work / "seen" / "labels").iterdir())) == 3


def recipes_are_explained(wheel: Wheel) -> None:
    """The recipes that come with the package are there, with their comments."""
    names = wheel.atonce("recipes")
    assert "kitti-road" in names and "streets" in names
    assert "learning rate" in wheel.atonce("recipes", "folder", "--explain").lower()


def a_mistake_is_one_line(wheel: Wheel) -> None:
    """A model that is not there: exit code 2, and no traceback."""
    told = wheel.atonce("predict", "nowhere", "data/val/images", code=2)
    assert told.startswith("atonce: ") and "Traceback" not in told, told


def the_dockerfile_serves(wheel: Wheel) -> None:
    """What the image starts is started: a page, an answer, a health check that fails once it has ended."""
    text = (ROOT / "Dockerfile").read_text("utf-8")
    entry_point, command, health = (
        json.loads(re.findall(rf"{line} (\[.*\])$", text, re.MULTILINE)[-1])
        for line in ("^ENTRYPOINT", "^CMD", r"^HEALTHCHECK .*\\\n +CMD")
    )
    words = [*entry_point, *command]
    assert words[0] == "atonce" and "/model" in words
    port = free_port()
    swap = {"atonce": str(wheel.bin / "atonce"), "/model": "run", "8000": str(port), "python": str(wheel.python)}
    check = [swap.get(word, word.replace("8000", str(port))) for word in health]
    url = f"http://127.0.0.1:{port}"
    with server(wheel, [swap.get(word, word) for word in words]) as process:
        wait_until(lambda: process.poll() is not None or exit_code(check) == 0)
        assert process.poll() is None, "it ended instead of serving"
        page = urllib.request.urlopen(url, timeout=30).read().decode("utf-8")
        assert "/predict" in page, "the page asks the server"
        picture = next((wheel.work / "data/val/images").iterdir()).read_bytes()
        request = urllib.request.Request(f"{url}/predict", picture, {"Content-Type": "image/png"})
        answer = json.load(urllib.request.urlopen(request, timeout=60))
        assert sum(each["pixels"] for each in answer["classes"]) == 48 * 64, answer
        process.terminate()
        assert process.wait(timeout=60) == 0, "SIGTERM is how a container is stopped"
    assert exit_code(check) != 0, "the health check is content without a server"


def exit_code(command: list[str]) -> int:
    """Run a command whose exit code is all that counts."""
    return subprocess.run(command, stderr=subprocess.DEVNULL, timeout=60, check=False).returncode


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(wheel: Wheel, words: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Run a command in the background; it is gone afterwards."""
    log = (wheel.work / "server.log").open("w")
    with (
        log,
        subprocess.Popen(words, cwd=wheel.work, env=wheel.environment, stdout=log, stderr=log, text=True) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def wait_until(reached: Callable[[], bool], seconds: float = 180) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.2)


CHECKS: tuple[Callable[[Wheel], None], ...] = (
    everything_is_in_it,
    its_metadata_lead_somewhere,
    it_is_what_is_imported,
    data_are_examined_trained_on_and_segmented,
    recipes_are_explained,
    a_mistake_is_one_line,
    the_dockerfile_serves,
    the_demo_runs,
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--download", action="store_true", help="install what the wheel needs instead of lending it")
    download = parser.parse_args().download
    folder = Path(tempfile.mkdtemp(prefix="wheel-"))
    try:
        wheel = Wheel(folder)
        wheel.install(download=download)
        for check in CHECKS:
            began = time.monotonic()
            check(wheel)
            print(f"{check.__name__.replace('_', ' ')}: {time.monotonic() - began:.1f} s", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
