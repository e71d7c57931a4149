"""No verb writes over a file that it reads: a model, its weights, a list, a report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgeup.pipeline.model_files import model_bytes, model_files

TEXT = """<ir_version: 8, opset_import: ["" : 17]>
net (float[1,2,4,4] image) => (float[1,2,4,4] depth) { depth = Conv<pads = [1,1,1,1]>(image, w) }"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model whose weights lie in out.json, a list of nodes, and a report."""
    monkeypatch.chdir(tmp_path)
    proto = onnx.parser.parse_model(TEXT)
    weights = np.arange(36, dtype=np.float32).reshape(2, 2, 3, 3)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    onnx.save(proto, "net.onnx", save_as_external_data=True, location="out.json", size_threshold=0)
    (tmp_path / "keep").mkdir()
    for name in ("keep.json", "keep.engine.json", "keep/report.json"):
        (tmp_path / name).write_text("")
    (tmp_path / "r.html").write_text("{}")
    (tmp_path / "link.json").symlink_to("out.json")
    return tmp_path


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("optimize net.onnx --no-verify -o net.onnx", "net.onnx"),
        ("optimize net.onnx --no-verify -o out.onnx", "out.json"),
        ("optimize net.onnx --no-verify -o keep.onnx --keep-fp32 keep.json", "keep.json"),
        ("build net.onnx --target rtx -o out.json", "out.json"),
        ("build net.onnx --target trt-10.3 --timing-cache link.json", "link.json"),
        (
            "build net.onnx --target rtx -o keep.engine --fp16 --keep-fp32 keep.engine.json",
            "keep.engine.json",
        ),
        ("check net.onnx -o out.json", "out.json"),
        ("check net.onnx -o link.json", "link.json"),
        ("estimate net.onnx --target orin-nano-8gb -o out.json", "out.json"),
        ("profile net.onnx -o out.json", "out.json"),
        ("profile net.onnx --export-times out.json", "out.json"),
        ("profile net.onnx --vs net.onnx --save-baseline out.json", "out.json"),
        ("verify net.onnx net.onnx -o out.json", "out.json"),
        ("verify net.onnx net.onnx --find-fp32-nodes out.json", "out.json"),
        ("report r.html -o r.html", "r.html"),
        (
            "export --shape 1x3x32x32 --precision fp16 --keep-fp32 keep/report.json -o keep",
            "keep/report.json",
        ),
        ("export --shape 1x3x32x32 --weights keep/report.json -o keep", "keep/report.json"),
    ],
)
def test_what_is_read_is_never_written(
    edgeup: Callable, folder: Path, command: str, name: str
) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    ran = edgeup(*command.split())
    assert ran.status == 2
    assert f"{name} would be overwritten, and it is read" in ran.err
    assert len(ran.err.splitlines()) == 1
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_models_files_are_its_own_and_its_weights(folder: Path) -> None:
    (folder / "an.engine").write_bytes(b"123")
    others = [folder / "keep.json", None]
    found = list(model_files(folder / "net.onnx", folder / "an.engine", None, others=others))
    expected = [*others, folder / "net.onnx", folder / "out.json", folder / "an.engine", None]
    assert found == expected
    assert model_bytes(folder / "net.onnx") == (folder / "net.onnx").stat().st_size + 36 * 4
    assert model_bytes(folder / "an.engine") == 3


def test_a_model_is_read_only_where_something_could_be_overwritten(folder: Path) -> None:
    from edgeup.files import check_goals

    def read():
        pytest.fail("it was read")
        yield

    check_goals([folder / "new.json", None], read())
