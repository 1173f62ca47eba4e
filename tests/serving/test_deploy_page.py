"""docs/deploy.md: the example for Kubernetes names options and paths that there are, config.pbtxt the exported graph."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from atonce.exporting import export
from atonce.model_file import load_model_file
from atonce.serving.paths import PATHS
from tests.commands import all_commands

PAGE = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text("utf-8")


def block(language: str) -> str:
    (text,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(text)


def test_the_example_for_kubernetes_is_of_this_server() -> None:
    deployment, service = yaml.safe_load_all(block("yaml"))
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    serve = all_commands()["serve"]
    known = {name for parameter in serve.params for name in [parameter.envvar] if isinstance(name, str)}
    known |= {name for parameter in serve.params if isinstance(parameter.envvar, list) for name in parameter.envvar}
    given = {entry["name"]: entry["value"] for entry in container["env"]}
    assert len(known) >= 13
    assert {name for name in given if name.startswith("ATONCE_")} <= known
    assert container["args"] == ["serve"]
    for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[kind]["httpGet"]["path"] in PATHS
    assert deployment["spec"]["template"]["metadata"]["annotations"]["prometheus.io/path"] in PATHS
    assert str(container["ports"][0]["containerPort"]) == given["ATONCE_PORT"]
    assert pod["enableServiceLinks"] is False
    # A service's name reaches the pods as the name that clients call.
    assert service["metadata"]["name"] in given["ATONCE_ALLOW_HOST"].split()
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


def test_triton_gets_the_names_and_types_of_the_exported_graph(tiny_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
    onnx = pytest.importorskip("onnx", reason="the extra `export` is not installed")
    done = export(load_model_file(tiny_model), to="onnx", out=tmp_path / "model.onnx", probabilities=True)
    graph = onnx.load(done.path).graph
    types = {onnx.TensorProto.UINT8: "TYPE_UINT8", onnx.TensorProto.FLOAT: "TYPE_FP32"}

    def described(value: Any) -> tuple[str, str, list[int]]:
        kind = value.type.tensor_type
        return value.name, types[kind.elem_type], [d.dim_value or -1 for d in kind.shape.dim]

    config = re.findall(r'name: "(\w+)"\s+data_type: (\w+)\s+dims: \[ ([-\d, ]+) \]', block("pbtxt"))
    told = [(name, kind, [int(d) for d in dims.split(",")]) for name, kind, dims in config]
    outputs = {value.name: described(value) for value in graph.output}
    assert told == [described(graph.input[0]), outputs["labels"]]
    name, kind, dims = outputs["probabilities"]
    assert f"`{name}`, {kind} of `[ {dims[0]}, C, {dims[2]}, {dims[3]} ]`" in PAGE.replace("\n", " ")
