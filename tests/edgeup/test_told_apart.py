"""Files of one name, told apart by the folders that they lie in."""

from pathlib import PurePosixPath

import pytest

from edgeup.pipeline.told_apart import told_apart


@pytest.mark.parametrize(
    ("first", "second", "names"),
    [
        ("a/model.onnx", "b/other.onnx", ("model.onnx", "other.onnx")),
        ("a/model.onnx", "b/model.onnx", ("a/model.onnx", "b/model.onnx")),
        ("/x/a/c/model.onnx", "/x/b/c/model.onnx", ("a/c/model.onnx", "b/c/model.onnx")),
        ("model.onnx", "old/model.onnx", ("model.onnx", "old/model.onnx")),
        ("/model.onnx", "model.onnx", ("/model.onnx", "model.onnx")),
        ("a/model.onnx", "a/model.onnx", ("model.onnx", "model.onnx")),
    ],
)
def test_as_many_folders_as_make_them_differ(first, second, names):
    assert told_apart(PurePosixPath(first), PurePosixPath(second)) == names
