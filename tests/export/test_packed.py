"""A model in one file, or in two where protobuf's limit does not hold its weights."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest

from edgeup.errors import EdgeupError
from edgeup.export import serialize
from edgeup.export.load import load_model
from edgeup.export.packed import Packed, loadable, pack
from edgeup.export.to_onnx import finish, finish_files
from edgeup.files import write_all
from edgeup.runtime.ort_session import run_once

WEIGHTS = {"a": np.arange(1500, dtype=np.float32), "b": np.arange(1100, dtype=np.float32) / 7}


def model() -> ir.Model:
    proto = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> '
        "g (float[1500] x) => (float[1500] y, float[1100] z)"
        "<int64[1] few = {1100}, int64[1] none = {0}>"
        "{ y = Mul(x, a) s = Slice(y, none, few) z = Add(s, b) }"
    )
    for name, array in WEIGHTS.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return ir.from_proto(proto)


@pytest.fixture
def low_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if 8 KiB were all that a file holds."""
    monkeypatch.setattr(serialize, "SIZE_LIMIT", 8192)


def test_what_fits_is_one_file(tmp_path: Path) -> None:
    packed = pack(model(), "m.onnx.data")
    assert (packed.data_name, packed.data_bytes) == ("", 0)
    assert packed.files(tmp_path / "m.onnx") == {tmp_path / "m.onnx": packed.content}
    assert finish_files(model(), "m.onnx.data")[0].content == finish(model())[0]
    with packed.loadable() as source:
        assert source == packed.content


@pytest.mark.usefixtures("low_limit")
def test_what_does_not_fit_has_its_weights_beside_it(tmp_path: Path) -> None:
    packed, facts = finish_files(model(), "m.onnx.data")
    assert len(packed.content) < 1000
    assert [offset for offset, _ in packed.weights] == [0, 8192]
    write_all(packed.files(tmp_path / "m.onnx"))
    data = (tmp_path / "m.onnx.data").read_bytes()
    assert len(data) == packed.data_bytes == 8192 + 4400
    assert hashlib.sha256(data).hexdigest() == packed.data_sha256()
    onnx.checker.check_model(tmp_path / "m.onnx", full_check=True)
    assert [spec.name for spec in facts.outputs] == ["y", "z"]
    read = onnx.load(tmp_path / "m.onnx")
    for tensor in read.graph.initializer:
        if tensor.name in WEIGHTS:
            got = onnx.numpy_helper.to_array(tensor)
            np.testing.assert_array_equal(got, WEIGHTS[tensor.name])
    small = {tensor.name for tensor in read.graph.initializer if not tensor.external_data}
    assert {"few", "none"} <= small
    again, _ = finish_files(load_model(tmp_path / "m.onnx"), "m.onnx.data")
    assert (again.content, again.data_sha256()) == (packed.content, packed.data_sha256())


@pytest.mark.usefixtures("low_limit")
def test_it_runs_from_files_that_go_afterwards() -> None:
    feeds = {"x": np.linspace(-1, 1, 1500, dtype=np.float32)}
    with loadable(model()) as source:
        assert isinstance(source, Path)
        outputs = run_once(source, feeds)
        assert source.is_file()
    assert not source.parent.exists()
    np.testing.assert_array_equal(outputs["y"], feeds["x"] * WEIGHTS["a"])
    assert np.ptp(outputs["z"]) > 0


@pytest.mark.usefixtures("low_limit")
def test_a_full_disk_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Packed, stream: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Packed, "write_data", full)
    with pytest.raises(EdgeupError, match=r"do not fit under .* another folder with TMPDIR"):
        loadable(model()).__enter__()


@pytest.mark.usefixtures("low_limit")
def test_a_single_file_that_does_not_fit_is_refused() -> None:
    with pytest.raises(EdgeupError, match="export it in float16, or in parts"):
        finish(model())
