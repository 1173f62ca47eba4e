"""Packages of extras: imported where they are, named with a remedy where they are not."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import ModuleType

import pytest

from atonce.errors import UserError
from atonce.extras import how_to_install, require_extra
from tests.processes import PATIENCE

ROOT = Path(__file__).parents[1]


def test_a_package_that_is_there_is_given() -> None:
    assert require_extra("json", "this test", "none") is json


def test_a_package_that_is_not_there_is_named_with_its_remedy() -> None:
    with pytest.raises(UserError) as caught:
        require_extra("no_such_package.part", "serving", "serve")
    found, _, remedy = str(caught.value).partition("; ")
    assert found == "serving needs the package no_such_package.part, which is not installed"
    assert remedy == how_to_install("serve")
    assert re.match(r'pip install "anyio<5,>=4\.1" "fastapi<1,>=[\d.]+" ', remedy)


INSTALLED = ["numpy<3", 'av<19,>=17; extra == "video"', "h5py (<4,>=3.10) ; python_version > '3' and extra == 'keras'"]
"""Requirements as packages note them, those of older tools included."""


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        ("video", 'pip install "av<19,>=17"'),
        ("keras", 'pip install "h5py<4,>=3.10"'),
        ("vid", "install atonce with its extra `vid`"),
        ("wandb", "install atonce with its extra `wandb`"),
    ],
)
def test_packages_of_an_extra_are_those_that_the_installer_noted(
    extra: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atonce.extras.requires", lambda name: INSTALLED)
    assert how_to_install(extra) == told


def test_where_atonce_was_not_installed_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def requires(name: str) -> list[str]:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("atonce.extras.requires", requires)
    assert how_to_install("video") == "install atonce with its extra `video`"


def test_nobody_is_sent_to_a_name_that_anyone_may_take() -> None:
    """Nothing is on the index: `pip install atonce` would install a stranger's package."""
    sources = [*(ROOT / "src").rglob("*.py"), *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    command = re.compile(r"""pip install(?: -\S+)* ["']?atonce(?![-\w./])""")
    assert command.search("pip install 'atonce[keras]'")
    assert command.search("pip install -U atonce")
    assert not command.search("pip install ./atonce-0.1.0-py3-none-any.whl")
    assert [path for path in sources if command.search(path.read_text("utf-8"))] == []


def test_a_package_that_misses_one_of_its_own_is_not_called_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_package.py").write_text("import no_such_dependency\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_package", raising=False)
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        require_extra("broken_package", "serving", "serve")


def test_nothing_is_told_to_those_who_made_a_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """OpenVINO and NNCF report their import and use; they are imported as if what sends it were not installed."""
    monkeypatch.delitem(sys.modules, "openvino_telemetry", raising=False)  # other tests import openvino themselves
    (tmp_path / "openvino_telemetry.py").write_text("raise AssertionError('this would send')")
    (tmp_path / "that_reports.py").write_text(
        "try:\n    import openvino_telemetry\n    sent = True\nexcept ImportError:\n    sent = False\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert require_extra("that_reports", "a test", "export").sent is False
    assert "openvino_telemetry" not in sys.modules
    own = ModuleType("openvino_telemetry")
    monkeypatch.setitem(sys.modules, "openvino_telemetry", own)
    monkeypatch.delitem(sys.modules, "that_reports")
    assert require_extra("that_reports", "a test", "export").sent is False
    assert sys.modules["openvino_telemetry"] is own, "who has imported it keeps it"


@pytest.mark.parametrize("name", ["openvino", "nncf"])
def test_the_packages_themselves_do_without_it(name: str) -> None:
    pytest.importorskip(name, reason="the extra `export` is not installed")
    script = (
        "import sys, multiprocessing.process as p\n"
        "p.BaseProcess.start = lambda self: sys.exit('a process that sends')\n"
        f"from atonce.extras import require_extra\nrequire_extra({name!r}, 'a test', 'export')\n"
        "print(any(m.startswith('openvino_telemetry') for m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout.strip()) == (0, "False"), done.stderr


def test_onnx_runtime_writes_nothing_into_the_home_folder(tmp_path: Path) -> None:
    """It would leave an id of the machine and events that it sends; who has allowed it is not overruled."""
    pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
    script = (
        "import os, sys\n"
        "from atonce.extras import require_extra\n"
        "from onnx import TensorProto, helper as h\n"
        "value = h.make_tensor_value_info('x', TensorProto.FLOAT, [1]), h.make_tensor_value_info('y', TensorProto.FLOAT, [1])\n"
        "graph = h.make_graph([h.make_node('Neg', ['x'], ['y'])], 'g', value[:1], value[1:])\n"
        "model = h.make_model(graph, opset_imports=[h.make_opsetid('', 17)], ir_version=8).SerializeToString()\n"
        "ort = require_extra('onnxruntime', 'a test', 'export')\n"
        "ort.InferenceSession(model, providers=['CPUExecutionProvider'])\n"
        "assert 'ORT_DISABLE_TELEMETRY' not in os.environ"
    )
    environment = {key: value for key, value in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"}
    for home in (tmp_path, tmp_path / "none" / "there"):
        done = subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env={**environment, "HOME": str(home)},
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not list(tmp_path.rglob("*"))
