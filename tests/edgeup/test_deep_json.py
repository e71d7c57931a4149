"""JSON that nests deeper than Python's stack is one line in every verb that reads JSON."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgeup.runtime.saved_outputs import INDEX

TEXT = """<ir_version: 8, opset_import: ["" : 17]>
net (float[1,3,8,8] image) => (float[1,3,8,8] depth) { depth = Sigmoid(image) }"""
TIMES = ("startEnqMs", "endEnqMs", "h2dMs", "computeMs", "d2hMs", "latencyMs")


@pytest.fixture(params=["DEEP", '[{"name": DEEP}]', '{"schema_version": 1, "Layers": [DEEP]}'])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files that hold JSON, with lists in lists somewhere in it."""
    deep = request.param.replace("DEEP", "[" * 200_000 + "]" * 200_000)
    monkeypatch.chdir(tmp_path)
    onnx.save(onnx.parser.parse_model(TEXT), "net.onnx")
    Path("deep.json").write_text(deep)
    Path("times.json").write_text(json.dumps([dict.fromkeys(TIMES, 1.5)]))
    Path("layers.json").write_text(
        '[{"count": 1}, {"name": "a", "timeMs": 1, "averageMs": 1, "medianMs": 1, "percentage": 1}]'
    )
    Path("an.engine").write_bytes(b"engine")
    Path("an.engine.json").write_text(deep)
    array = io.BytesIO()
    np.save(array, np.arange(6.0, dtype=np.float32))
    with zipfile.ZipFile("saved.npz", "w") as archive:
        archive.writestr("noise/depth.npy", array.getvalue())
        archive.writestr(INDEX, deep)
    return tmp_path


@pytest.mark.parametrize(
    ("command", "culprit"),
    [
        ("report deep.json", "deep.json is not JSON"),
        ("report deep.json deep.json", "deep.json is not JSON"),
        ("profile net.onnx --baseline deep.json --max-regression 5%", "deep.json is not JSON"),
        ("profile net.onnx --load-times deep.json", "deep.json: this is not what"),
        (
            "profile net.onnx --load-times times.json --load-profile deep.json",
            "deep.json: this is not what",
        ),
        (
            "profile net.onnx --load-times times.json --load-profile layers.json "
            "--load-layer-info deep.json",
            "deep.json: the layer information is not JSON",
        ),
        ("profile an.engine", "an.engine.json is not a sidecar"),
        ("verify net.onnx an.engine", "an.engine.json is not a sidecar"),
        ("verify net.onnx an.engine --fail-on precision", "an.engine.json is not a sidecar"),
        ("verify net.onnx saved.npz", "saved.npz: its"),
        ("verify saved.npz net.onnx", "saved.npz: its"),
    ],
)
def test_a_file_that_nests_too_deep_is_one_line(
    edgeup: Callable, folder: Path, command: str, culprit: str
) -> None:
    ran = edgeup(*command.split())
    assert ran.status == 2
    assert len(ran.err.splitlines()) == 1, ran.err
    assert culprit in ran.err
    assert "recursion" in ran.err
