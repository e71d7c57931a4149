from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest

from edgeup.errors import EdgeupError
from edgeup.runtime import saved_outputs
from edgeup.runtime.saved_outputs import (
    INDEX,
    Origin,
    OutputsWriter,
    SavedOutputs,
    array_names,
    feeds_sha256,
)
from edgeup.spec import TensorSpec

ORIGIN = Origin("fp16", "TensorRT", (TensorSpec("image", (1, 3, "h", 4)),), 7)
FEEDS = {"image": np.arange(24, dtype=np.float32).reshape(1, 3, 2, 4)}
OUTPUTS = {
    "/head/depth": np.linspace(0, 1, 8, dtype=np.float32).reshape(1, 1, 2, 4),
    "classes": np.array([[1, 2]], np.int64),
}


@pytest.fixture
def saved(tmp_path):
    stream = io.BytesIO()
    with OutputsWriter(stream, ORIGIN) as writer:
        writer.add("noise", FEEDS, OUTPUTS)
        writer.add("photo.png", {}, {"classes": np.array(3.5)})
    path = tmp_path / "saved.npz"
    path.write_bytes(stream.getvalue())
    return path


def test_what_was_written_is_read(saved):
    read = SavedOutputs(saved)
    assert read.cases == ("noise", "photo.png")
    assert read.origin == ORIGIN
    assert read.inputs_sha256("noise") == feeds_sha256(FEEDS)
    assert read.inputs_sha256("photo.png") is None
    outputs = read.outputs("noise")
    assert list(outputs) == list(OUTPUTS)
    for name, array in OUTPUTS.items():
        assert outputs[name].dtype == array.dtype
        np.testing.assert_array_equal(outputs[name], array)
    assert read.outputs("photo.png")["classes"].item() == 3.5
    with pytest.raises(EdgeupError, match=r"no outputs for ramp; it has noise, photo\.png"):
        read.outputs("ramp")


def test_numpy_reads_it_too(saved):
    with np.load(saved) as arrays:
        np.testing.assert_array_equal(arrays["noise/classes"], OUTPUTS["classes"])


def test_an_npz_of_somebody_elses_is_one_case(tmp_path):
    np.savez(tmp_path / "own.npz", depth=np.eye(3), **{"a/b": np.ones(2)})
    read = SavedOutputs(tmp_path / "own.npz")
    assert read.cases == (None,)
    assert read.origin == Origin()
    assert set(read.outputs(None)) == {"depth", "a/b"}
    assert array_names(tmp_path / "own.npz") == ("depth", "a/b")


def test_other_inputs_have_another_hash():
    same = {"x": np.array(FEEDS["image"], order="F")}
    assert feeds_sha256(same) == feeds_sha256(FEEDS)
    for other in (FEEDS["image"] + 1, FEEDS["image"].reshape(1, 3, 4, 2), FEEDS["image"][:0]):
        assert feeds_sha256({"image": other}) != feeds_sha256(FEEDS)
    assert feeds_sha256({"x": np.zeros(2, np.int32)}) != feeds_sha256({"x": np.zeros(2, "f4")})


def rewritten(path, change):
    """The file with another index."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    index = json.loads(members[INDEX])
    change(index)
    members[INDEX] = json.dumps(index).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda index: index.update(version=2), "version 2, not 1"),
        (lambda index: index.update(cases=[]), "holds no case"),
        (lambda index: index.update(cases=3), "does not fit"),
        (lambda index: index.update(seed="1"), "seed '1'"),
        (lambda index: index["inputs"][0].update(shape=[1, None]), "dimension None"),
        (lambda index: index["cases"][0]["outputs"].append("more"), "noise/more is not there"),
        (lambda index: index.pop("precision"), "does not fit"),
    ],
)
def test_an_index_that_does_not_fit(saved, change, words):
    rewritten(saved, change)
    with pytest.raises(EdgeupError, match=words):
        SavedOutputs(saved)


def test_files_that_are_none(tmp_path, saved):
    for name, content, words in (
        ("empty.npz", b"", "not an .npz"),
        ("text.npz", b"hello", "not an .npz"),
        ("cut.npz", saved.read_bytes()[:200], "not an .npz"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(EdgeupError, match=words):
            SavedOutputs(tmp_path / name)
    with pytest.raises(EdgeupError, match="does not exist"):
        SavedOutputs(tmp_path / "no.npz")
    with pytest.raises(EdgeupError, match="is no file"):
        SavedOutputs(tmp_path)
    with zipfile.ZipFile(tmp_path / "bare.npz", "w"):
        pass
    with pytest.raises(EdgeupError, match="holds no arrays"):
        SavedOutputs(tmp_path / "bare.npz")


def test_a_pickle_is_not_loaded(tmp_path):
    np.savez(tmp_path / "pickle.npz", depth=np.array([{"a": 1}, print], dtype=object))
    with pytest.raises(EdgeupError, match="'depth' cannot be read: Object arrays"):
        SavedOutputs(tmp_path / "pickle.npz").outputs(None)
    np.savez(tmp_path / "text.npz", depth=np.array(["a"]))
    with pytest.raises(EdgeupError, match="wanted numbers"):
        SavedOutputs(tmp_path / "text.npz").outputs(None)


def test_damaged_and_oversized_arrays(tmp_path, monkeypatch):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (10**14,)}
    )
    with zipfile.ZipFile(tmp_path / "huge.npz", "w") as archive:
        archive.writestr("depth.npy", header.getvalue() + b"1234")
        archive.writestr("other.npy", b"\x93NUMPY\x01\x00\x02\x00{(")
    for name in ("depth", "other"):
        with pytest.raises(EdgeupError, match=f"'{name}' cannot be read"):
            saved_outputs.load_arrays(tmp_path / "huge.npz", {name: name})
    monkeypatch.setattr(saved_outputs, "LARGEST_ARRAY", 1 << 4)
    np.savez(tmp_path / "large.npz", depth=np.ones(100))
    with pytest.raises(EdgeupError, match="claims more than"):
        SavedOutputs(tmp_path / "large.npz").outputs(None)
