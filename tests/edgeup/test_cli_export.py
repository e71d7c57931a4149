"""`edgeup export` on real networks: what it writes is true of the file."""

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import onnxruntime
import pytest

from edgeup.export.passes.tuned import Verdict
from edgeup.pipeline.tuning import model as tuning
from edgeup.report import schema
from edgeup.runtime.latency import Ratio

SMALL = ("--shape", "1x3x64x64")


def read_report(folder: Path) -> dict[str, Any]:
    report = json.loads((folder / "report.json").read_text())
    jsonschema.validate(report, schema())
    return report


def test_the_report_is_true_of_the_file(edgeup: Callable, tmp_path: Path) -> None:
    ran = edgeup("export", "--decoder", "nnconv5", *SMALL, "-o", tmp_path, "--format", "json")
    assert ran.status == 0, ran.err
    assert ran.err == ""
    report = read_report(tmp_path)
    assert ran.json == report
    content = (tmp_path / "model.onnx").read_bytes()
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("model.onnx", "report.html", "report.json")
    ]
    facts = report["onnx"]
    assert facts["sha256"] == hashlib.sha256(content).hexdigest()
    assert facts["bytes"] == len(content)
    assert facts["opset"] == model.opset_import[0].version == 20
    assert facts["ir_version"] == model.ir_version == 9
    assert facts["nodes"] == dict(Counter(node.op_type for node in model.graph.node))
    assert (facts["nodes"]["Clip"], facts["nodes"]["Conv"]) == (27, 33)
    assert [(i.name) for i in model.graph.input] == ["image"]
    assert [(o.name) for o in model.graph.output] == ["depth"]
    # 3.781 GMACs at 224x224 (published for FastDepth); the count goes by area.
    assert report["model"]["macs"] >= facts["macs"] > 0
    assert abs(report["model"]["macs"] * (224 / 64) ** 2 / 1e9 - 3.781) < 0.001
    assert abs(report["model"]["parameters"] / 1e6 - 20.668) < 0.0005
    assert report["passed"] is True
    [parity] = report["parity"]
    assert {case["kind"] for case in parity["cases"]} == {
        *("noise", "ramp", "impulse", "checkerboard", "natural")
    }
    assert parity["vacuous"] is False
    assert report["latency"]["device"].startswith("CPU")
    assert report["target"]["name"] == "jetpack-6.2"
    assert any("weights are random (seed 0)" in notice for notice in report["notices"])
    assert str(Path.home()) not in (tmp_path / "report.json").read_text()


@pytest.mark.parametrize(
    ("target", "opset", "ir_version"), [("jetpack-4.6", 13, 7), ("jetpack-5.1.2", 17, 8)]
)
def test_an_old_target_gets_the_opset_that_it_reads(
    edgeup: Callable, tmp_path: Path, target: str, opset: int, ir_version: int
) -> None:
    preset = "mobilenet-nnconv5dw-skipadd-pruned"
    arguments = ("--preset", preset, "--target", target, *SMALL, "-o", tmp_path)
    ran = edgeup("export", *arguments)
    assert ran.status == 0, ran.err
    model = onnx.load(tmp_path / "model.onnx")
    assert [entry.version for entry in model.opset_import] == [opset]
    assert model.ir_version == ir_version
    report = read_report(tmp_path)
    assert (report["onnx"]["opset"], report["onnx"]["ir_version"]) == (opset, ir_version)
    nodes = report["onnx"]["nodes"]
    assert (nodes["Clip"], nodes["Relu"], nodes["Add"]) == (27, 11, 3)
    assert report["model"]["macs"] > report["onnx"]["macs"]  # the last 1x1 before its resize
    for words in ("CPU", f"opset {opset}", "max_abs", "cosine", "median", "p99", "checkerboard"):
        assert words in ran.out
    assert max(len(line.rstrip()) for line in ran.out.splitlines()) <= 80


def test_open_dimensions_take_other_sizes(edgeup: Callable, tmp_path: Path) -> None:
    arguments = ("--preset", "mobilenet-nnconv5dw-skipadd", "--dynamic", "batch,spatial")
    ran = edgeup("export", *arguments, *SMALL, "-o", tmp_path, "--format", "json")
    assert ran.status == 0, ran.err
    assert ran.json["onnx"]["inputs"][0]["shape"] == ["batch", 3, "height", "width"]
    shapes = [tuple(case["shape"]) for case in ran.json["parity"][0]["cases"]]
    assert set(shapes) == {(1, 1, 64, 64), (2, 1, 96, 96)}
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    image = np.random.default_rng(0).random((3, 3, 32, 128), dtype=np.float32)
    assert session.run(None, {"image": image})[0].shape == (3, 1, 32, 128)


def test_weights_from_a_file_reach_the_graph(edgeup: Callable, tmp_path: Path) -> None:
    import torch

    from edgeup.models.catalog import PRESETS
    from edgeup.models.fastdepth import build
    from edgeup.models.initialise import initialise

    network = build(PRESETS["mobilenet-nnconv5dw-skipadd-pruned"])
    image = np.random.default_rng(1).random((1, 3, 64, 64), dtype=np.float32)
    initialise(network, 7, [image])
    weights = tmp_path / "best.pth.tar"
    torch.save({"epoch": 3, "state_dict": network.state_dict()}, weights)
    out = tmp_path / "out"
    ran = edgeup("export", "--weights", weights, *SMALL, "-o", out, "--format", "json")
    assert ran.status == 0, ran.err
    assert ran.json["model"]["name"] == "mobilenet-nnconv5dw-skipadd-pruned"
    assert ran.json["model"]["weights"]["source"] == "file"
    assert not any("random" in notice for notice in ran.json["notices"])
    with torch.no_grad():
        wanted = network(torch.from_numpy(image)).numpy()
    [got] = onnxruntime.InferenceSession(out / "model.onnx").run(None, {"image": image})
    assert wanted.std() > 0.1
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)
    contradicted = edgeup("export", "--weights", weights, "--skip", "concat")
    assert contradicted.status == 2
    assert "contradicts" in contradicted.err


USER_CODE = """
import torch
from torch import nn

class Twins(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.dropout = nn.Dropout(0.5)

    def forward(self, left, right, scale=None):
        print("a module may print what it likes")
        a, b = self.conv(left), self.conv(right)
        return {"sum": self.dropout(a + b), "pair": (a, b - a)}

def build():
    torch.manual_seed(0)
    return Twins().train()
"""


def test_a_users_module_with_several_inputs_and_outputs(
    edgeup: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "twins_code.py").write_text(USER_CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "twins_code", raising=False)
    shapes = ("--shape", "left:1x3x8x8", "--shape", "right:1x3x8x8")
    ran = edgeup("export", "twins_code:build", *shapes, "-o", "out", "--format", "json")
    assert ran.status == 0, ran.err
    assert [spec["name"] for spec in ran.json["onnx"]["inputs"]] == ["left", "right"]
    assert len(ran.json["parity"]) == 3
    assert all(output["passed"] and not output["vacuous"] for output in ran.json["parity"])
    assert any("training mode" in notice for notice in ran.json["notices"])
    assert (tmp_path / "out" / "model.onnx").is_file()


def test_a_failed_parity_check_is_exit_status_1(
    edgeup: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeup.models import run as torch_side

    real = torch_side.run_module
    monkeypatch.setattr(
        torch_side, "run_module", lambda *given: [out * 1.01 for out in real(*given)]
    )
    ran = edgeup("export", "--decoder", "deconv3dw", *SMALL, "-o", tmp_path, "--format", "json")
    assert ran.status == 1
    report = read_report(tmp_path)
    assert report["passed"] is False
    assert report["parity"][0]["needed"]["rtol"] == pytest.approx(0.0099, rel=0.05)


def test_tuned_forms_carry_their_measured_reasons(
    edgeup: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judge(*given: object) -> Callable[..., Verdict]:
        return lambda forms, specs: Verdict(list(forms)[-1], 2.0, 1.9, 2.1)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(tuning, "measured_judge", judge)
    monkeypatch.setattr(
        tuning, "whole_model_ratio", lambda *given: Ratio(1.2, 1.1, 1.3, 0.95, rounds=9)
    )
    ran = edgeup(
        *("export", "--model", "unet", "--decoder", "nearest", "--shape", "1x1x32x32"),
        *("--option", "padding=same", "--option", "width=0.125"),
        *("-o", tmp_path / "out", "--target", "cpu"),
        *("--tune", "--format", "json"),
    )
    assert ran.status == 0, ran.err
    report = read_report(tmp_path / "out")
    assert report["tuning"]["kept"] is True
    assert report["tuning"]["measured"] >= 1
    fused = [site for site in report["rewrites"] if site["pass"] == "fuse-upsample-conv"]
    assert fused
    assert all("measured 2.00 times as fast" in site["why"] for site in fused)
    assert all(output["passed"] for output in report["parity"])
    assert (tmp_path / "cache" / "edgeup" / "tuning.json").is_file()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ((), "--tune measures on the target's own backend, and jetpack-6.2 runs tensorrt"),
        (("--target", "cpu", "--dynamic", "batch"), "--dynamic leaves them open"),
    ],
)
def test_what_cannot_be_tuned_here_is_refused(
    edgeup: Callable, tmp_path: Path, options: tuple[str, ...], reason: str
) -> None:
    ran = edgeup("export", "--decoder", "upconv", *SMALL, "-o", tmp_path / "a", "--tune", *options)
    assert ran.status == 2
    assert reason in ran.err
    assert len(ran.err.splitlines()) == 1
    assert not (tmp_path / "a").exists()
