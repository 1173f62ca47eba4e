"""docs/deploy.md: the example for Kubernetes names options and paths that there are, config.pbtxt the exported graph."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.datastructures import Headers

from atonce.exporting import export
from atonce.model_file import load_model_file
from atonce.serving.host_check import HostCheck
from atonce.serving.paths import OPEN_PATHS, PATHS
from atonce.serving.server import _SHUTDOWN_SECONDS
from atonce.version import __version__
from tests.commands import all_commands

PAGE = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text("utf-8")


def block(language: str) -> str:
    return blocks(language)[0]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_example_for_kubernetes_is_of_this_server() -> None:
    claim, deployment, service = yaml.safe_load_all(block("yaml"))
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    serve = all_commands()["serve"]
    known = {name for parameter in serve.params for name in [parameter.envvar] if isinstance(name, str)}
    known |= {name for parameter in serve.params if isinstance(parameter.envvar, list) for name in parameter.envvar}
    given = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert len(known) >= 13
    assert {name for name in given if name.startswith("ATONCE_")} <= known
    assert container["args"] == ["serve"]
    for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[kind]["httpGet"]["path"] in PATHS
    assert str(container["ports"][0]["containerPort"]) == given["ATONCE_PORT"]
    assert pod["enableServiceLinks"] is False
    # A service's name reaches the pods as the name that clients call, which they shorten as they like.
    name, allowed = service["metadata"]["name"], given["ATONCE_ALLOW_HOST"].replace("$(NAMESPACE)", "default")
    hosts = HostCheck(None, allowed.split())  # type: ignore[arg-type]
    for called in (
        name,
        f"{name}.default",
        f"{name}.default.svc",
        f"{name}.default.svc.cluster.local",
        "10.1.2.3:8000",
    ):
        hosts._check("GET", Headers({"host": called}))
    (volume,) = (volume for volume in pod["volumes"] if "persistentVolumeClaim" in volume)
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert deployment["spec"]["replicas"] > 1 and {*claim["spec"]["accessModes"]} <= {"ReadOnlyMany", "ReadWriteMany"}
    repository, _, tag = container["image"].rpartition(":")
    assert repository and tag == __version__ and container["imagePullPolicy"] == "IfNotPresent"
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


def test_a_pod_is_out_of_the_service_before_its_server_ends() -> None:
    pod = list(yaml.safe_load_all(block("yaml")))[1]["spec"]["template"]["spec"]
    command, seconds = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert command == "sleep" and int(seconds) >= 5
    assert pod["terminationGracePeriodSeconds"] >= int(seconds) + _SHUTDOWN_SECONDS + 5


def test_metrics_are_scraped_with_the_token_that_they_ask_for() -> None:
    _, deployment, _ = yaml.safe_load_all(block("yaml"))
    assert "/metrics" not in OPEN_PATHS, "or no token is needed"
    assert "annotations" not in deployment["spec"]["template"]["metadata"], "these scrape without a token"
    (job,) = yaml.safe_load(blocks("yaml")[1])["scrape_configs"]
    assert job["authorization"]["credentials_file"].endswith("/token")
    (kept,) = (rule["regex"] for rule in job["relabel_configs"] if rule["source_labels"][0].endswith("label_app"))
    assert kept == deployment["spec"]["template"]["metadata"]["labels"]["app"]
    assert job.get("metrics_path", "/metrics") in PATHS


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
