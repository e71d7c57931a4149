from __future__ import annotations

import hashlib
import json

import pytest

from edgeup.pipeline import report_beside
from edgeup.pipeline.report_beside import NoReport, read_beside

NONE, OTHER = (
    "no report of export or optimize lies beside m.onnx",
    "the report beside m.onnx is of another file",
)


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"a model")
    return path


def report(model, **more):
    return json.dumps({"onnx": {"sha256": hashlib.sha256(model.read_bytes()).hexdigest()}, **more})


@pytest.mark.parametrize("name", ["report.json", "m.json"])
def test_a_report_of_this_very_file_is_read(model, name):
    model.with_name(name).write_text(report(model, forms=[3]))
    assert read_beside(model, lambda found: found["forms"]) == [3]
    model.write_bytes(b"another")
    assert read_beside(model, lambda found: found["forms"]) == NoReport(OTHER)


def test_without_one_there_is_a_reason(model):
    assert read_beside(model, dict) == NoReport(NONE)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\0",
        b"[" * 200_000,
        b'{"onnx": ' * 50_000,
        b"[]",
        b"3",
        b'{"onnx": []}',
        b'{"onnx": {}}',
        b'{"onnx": {"sha256": 1' + b"0" * 5000 + b"}}",
    ],
)
def test_anything_else_there_is_passed_over(model, content):
    model.with_name("report.json").write_bytes(content)
    assert read_beside(model, dict) == NoReport(NONE)
    model.with_suffix(".json").write_text(report(model, forms=[3]))
    assert read_beside(model, lambda found: found["forms"]) == [3]


@pytest.mark.parametrize("error", [KeyError, TypeError, ValueError, RecursionError])
def test_a_report_without_what_is_wanted_is_passed_over(model, error):
    model.with_name("report.json").write_text(report(model))

    def read(found):
        raise error("it does not fit")

    assert read_beside(model, read) == NoReport(NONE)


def test_a_folder_or_a_huge_file_of_that_name_is_passed_over(model, monkeypatch):
    model.with_name("report.json").mkdir()
    model.with_suffix(".json").write_text(report(model))
    assert read_beside(model, dict) != NoReport(NONE)
    monkeypatch.setattr(report_beside, "_LARGEST", 20)
    assert read_beside(model, dict) == NoReport(NONE)
