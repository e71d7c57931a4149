"""`edgeup run`: pictures through small ONNX models made here, without torch."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from edgeup.presets import PRESETS

Dims = list[int | str]
CAST = [helper.make_node("Cast", ["image"], ["depth"], to=TensorProto.FLOAT)]


def model(
    folder: Path,
    *,
    shape: Dims = (1, 3, 8, 8),
    nodes: list[onnx.NodeProto] | None = None,
    outputs: tuple[str, ...] = ("depth",),
    dtype: int = TensorProto.FLOAT,
    metadata: dict[str, str] | None = None,
    more_inputs: tuple[onnx.ValueInfoProto, ...] = (),
    name: str = "model.onnx",
) -> Path:
    """A graph from ``image``; by default its depth is the mean of the channels."""
    nodes = nodes or [helper.make_node("ReduceMean", ["image"], ["depth"], axes=[1], keepdims=1)]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", dtype, shape), *more_inputs],
        [helper.make_empty_tensor_value_info(output) for output in outputs],
    )
    for value in graph.output:
        value.type.tensor_type.elem_type = TensorProto.FLOAT
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(made, metadata or {})
    onnx.save(made, folder / name)
    return folder / name


def stored(preset: str, **changes: object) -> dict[str, str]:
    return {"edgeup.preprocess": replace(PRESETS[preset], **changes).to_json()}


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_what_is_stored_in_the_model_is_what_is_done(
    edgeup: Callable, tmp_path: Path, photo: Path
) -> None:
    metadata = {**stored("fastdepth", size=(8, 8)), "edgeup.unit": "m", "producer": "someone"}
    path = model(tmp_path, metadata=metadata)
    raw, png = tmp_path / "depth.npy", tmp_path / "depth.png"
    ran = edgeup("run", path, photo, "-o", png, "--save-raw", raw, "--format", "json")
    assert ran.status == 0, ran.err
    assert ran.err == ""
    wanted = PRESETS["fastdepth"].apply(np.asarray(Image.open(photo)), (8, 8))
    depth = np.load(raw, allow_pickle=False)
    np.testing.assert_allclose(depth, wanted.mean(axis=1, keepdims=True), rtol=1e-6)
    assert ran.json["preprocess"]["source"] == "metadata"
    assert ran.json["preprocess"]["cover"] == [250, 333]
    assert ran.json["preprocess"]["size"] == [8, 8]
    assert ran.json["input"]["shape"] == [1, 3, 8, 8]
    assert ran.json["input"]["mean"] == pytest.approx(float(wanted.mean()))
    output = ran.json["output"]
    assert (output["name"], output["shape"], output["unit"]) == ("depth", [1, 1, 8, 8], "m")
    assert output["min"] == float(depth.min()) < output["max"] == float(depth.max())
    assert ran.json["drawn"]["range"] == [output["min"], output["max"]]
    assert ran.json["files"] == {"drawn": str(png), "raw": str(raw)}
    assert ran.json["notices"] == []
    picture = np.asarray(Image.open(png))
    assert picture.shape == (8, 8, 3)
    assert picture.reshape(-1, 3)[depth.argmax()].tolist() == [253, 231, 37]
    assert picture.reshape(-1, 3)[depth.argmin()].tolist() == [68, 1, 84]


def test_the_text_says_what_was_done_and_what_came_out(
    edgeup: Callable, tmp_path: Path, photo: Path
) -> None:
    folder = tmp_path / "[bold]"
    folder.mkdir()
    path = model(folder, metadata={**stored("unit"), "edgeup.weights": "random"})
    ran = edgeup("run", path, photo)
    assert ran.status == 0, ran.err
    text = " ".join(ran.out.split())
    assert "PNG RGB, 48x64 (height x width)" in text
    assert "resize to the model's size (bilinear), x 1/255, RGB, NCHW (stored in the model)" in text
    assert "depth 1x1x8x8 float32, " in text
    assert "weights are random: its output means nothing" in text
    assert "nothing was written" in text
    assert edgeup("run", path, photo, "-o", folder / "a.png").out.count("[bold]") == 1


def test_the_option_goes_before_what_is_stored(
    edgeup: Callable, tmp_path: Path, photo: Path
) -> None:
    path = model(tmp_path, metadata={"edgeup.preprocess": "broken"})
    ran = edgeup("run", path, photo, "--preprocess", "raw", "--format", "json")
    assert ran.status == 0, ran.err
    assert ran.json["preprocess"]["source"] == "option"
    assert ran.json["input"]["max"] > 2
    bare = edgeup("run", path, photo)
    assert bare.status == 2
    assert "edgeup.preprocess cannot be used: it is not JSON; say it with --preprocess" in bare.err


def test_open_dimensions_take_the_size_that_is_said(
    edgeup: Callable, tmp_path: Path, photo: Path
) -> None:
    path = model(tmp_path, shape=["n", 3, "h", "w"])
    sized = edgeup("run", path, photo, "--preprocess", "unit,size=16x24", "--format", "json")
    assert sized.json["output"]["shape"] == [1, 1, 16, 24]
    whole = edgeup("run", path, photo, "--preprocess", "unit,size=image", "--format", "json")
    assert whole.json["output"]["shape"] == [1, 1, 48, 64]
    assert "size=HEIGHTxWIDTH" in edgeup("run", path, photo, "--preprocess", "unit").err


def test_channels_last_and_bytes_and_grey(edgeup: Callable, tmp_path: Path, photo: Path) -> None:
    path = model(tmp_path, shape=[1, 48, 64, 3], dtype=TensorProto.UINT8, nodes=CAST)
    raw, png = tmp_path / "raw.npy", tmp_path / "raw.png"
    options = ("--preprocess", "raw,layout=nhwc", "--save-raw", raw, "-o", png)
    ran = edgeup("run", path, photo, *options, "--format", "json")
    assert ran.status == 0, ran.err
    assert ran.json["input"]["dtype"] == "uint8"
    assert ran.json["drawn"]["kind"] == "image"
    pixels = np.asarray(Image.open(photo))
    np.testing.assert_array_equal(np.load(raw)[0], pixels)
    np.testing.assert_array_equal(np.asarray(Image.open(png)), pixels)
    grey = model(tmp_path, shape=[1, 1, 8, 8], name="grey.onnx")
    ran = edgeup("run", grey, photo, "--preprocess", "unit,channels=grey", "--format", "json")
    assert ran.json["input"]["shape"] == [1, 1, 8, 8]


def test_other_inputs_are_fed_from_files_and_outputs_chosen_by_name(
    edgeup: Callable, tmp_path: Path, photo: Path
) -> None:
    nodes = [
        helper.make_node("Identity", ["image"], ["same"]),
        helper.make_node("Mul", ["image", "factor"], ["scaled"]),
    ]
    factor = helper.make_tensor_value_info("factor", TensorProto.FLOAT, [1])
    path = model(tmp_path, nodes=nodes, outputs=("same", "scaled"), more_inputs=(factor,))
    np.save(tmp_path / "factor.npy", np.array([3.0], np.float32))
    common = ("run", path, photo, "--preprocess", "unit")
    refused = edgeup(*common)
    assert refused.status == 2
    assert "2 inputs, image:1x3x8x8, factor:1: name the one" in refused.err
    feed = ("--feed", f"factor={tmp_path / 'factor.npy'}")
    ran = edgeup(*common, *feed, "--output-name", "scaled", "--format", "json")
    assert ran.status == 0, ran.err
    assert ran.json["output"]["name"] == "scaled"
    assert ran.json["output"]["max"] == pytest.approx(3 * ran.json["input"]["max"], rel=1e-6)
    assert (
        "unknown output 'scald': did you mean scaled"
        in edgeup(*common, *feed, "--output-name", "scald").err
    )
    np.save(tmp_path / "evil.npy", np.array([{}], dtype=object), allow_pickle=True)
    evil = edgeup(*common, "--feed", f"factor={tmp_path / 'evil.npy'}")
    assert evil.status == 2
    assert "is not read as .npy" in evil.err


def test_nan_in_the_output_is_still_one_json_document(
    edgeup: Callable, tmp_path: Path, photo: Path
) -> None:
    nodes = [helper.make_node("Sub", ["image", "image"], ["zero"])]
    nodes.append(helper.make_node("Div", ["zero", "zero"], ["depth"]))
    path = model(tmp_path, nodes=nodes)
    ran = edgeup("run", path, photo, "--preprocess", "unit", "--format", "json")
    assert ran.status == 0, ran.err
    assert ran.json["output"]["mean"] is None
    assert ran.json["output"]["finite"] == 0
    assert ran.json["notices"] == ["output: 192 of 192 values are NaN or infinite"]


REFUSED = [
    ({}, (), "does not say how its pictures are prepared: .* one of fastdepth, unit, imagenet"),
    ({"shape": [1, 4, 8, 8]}, ("--preprocess", "unit"), "has 4 channels .* makes 3: an input of"),
    ({"shape": [1, 1, 8, 8]}, ("--preprocess", "unit"), "has 1 channels .* add channels=grey"),
    ({"shape": [1, 8, 8, 3]}, ("--preprocess", "unit"), "has 8 channels .* add layout=nhwc"),
    ({"shape": [2, 3, 8, 8]}, ("--preprocess", "unit"), "takes 2 pictures at once"),
    ({"shape": [3, 8, 8]}, ("--preprocess", "unit"), "wanted four dimensions .* it has 3"),
    ({"metadata": stored("unit", size=(9, 8))}, (), "makes 9x8 .* takes 8x8: .*stored,size=model"),
    (
        {"metadata": stored("unit"), "dtype": TensorProto.INT64, "nodes": CAST},
        (),
        "is int64, and a picture",
    ),
    (
        {"metadata": stored("unit"), "dtype": TensorProto.UINT8, "nodes": CAST},
        (),
        "is uint8: it takes 0-255 as",
    ),
    ({"metadata": stored("unit")}, ("--input", "imag"), "unknown input 'imag': did you mean image"),
    ({"metadata": stored("unit")}, ("--feed", "x"), "--feed x: wanted NAME=FILE.npy"),
    ({"metadata": stored("unit")}, ("--feed", "image=a.npy"), "none is left for the picture"),
    ({"metadata": stored("unit")}, ("-o", "depth.jpg"), r"wanted a name that ends in \.png"),
    ({"metadata": stored("unit")}, ("-o", "no/such/depth.png"), "no does not exist; create it"),
    ({"metadata": stored("unit")}, ("-o", "photo.png"), "photo.png would be overwritten"),
    (
        {"metadata": stored("unit")},
        ("--save-raw", "a.npy", "--feed", "x=a.npy"),
        "a.npy would be overwritten, and it is read",
    ),
    ({"metadata": stored("unit")}, ("--save-raw", "a.npz"), r"wanted a name that ends in \.npy"),
    ({"metadata": stored("unit")}, ("--range", "5"), "--range 5: wanted MIN:MAX"),
    ({"metadata": stored("unit")}, ("--range", "5:1"), "the lesser first"),
    ({"metadata": stored("unit")}, ("--colormap", "jet"), "unknown colour map 'jet'"),
    ({"metadata": stored("unit")}, ("--as", "depth"), "unknown kind of drawing 'depth'"),
    ({"metadata": stored("unit")}, ("--preprocess", "unti"), "did you mean unit"),
    ({"metadata": stored("unit")}, ("-o", "a.png", "--as", "classes"), "draw it --as map"),
]


@pytest.mark.parametrize(("made", "options", "reason"), REFUSED)
def test_a_wrong_request_is_one_line_and_nothing_is_written(
    edgeup: Callable,
    tmp_path: Path,
    photo: Path,
    monkeypatch: pytest.MonkeyPatch,
    made: dict,
    options: tuple[str, ...],
    reason: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    path = model(tmp_path, **made)
    (tmp_path / "a.npy").write_bytes(b"of another input")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    ran = edgeup("run", path.name, photo.name, *options)
    assert ran.status == 2
    assert ran.out == ""
    assert re.search(reason, ran.err), ran.err
    assert len(ran.err.splitlines()) == 1
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_files_that_are_not_models_or_pictures_are_refused(
    edgeup: Callable, tmp_path: Path, photo: Path
) -> None:
    path = model(tmp_path, metadata=stored("unit"))
    (tmp_path / "text.onnx").write_text("not a model")
    for arguments, reason in (
        ((tmp_path / "missing.onnx", photo), "missing.onnx does not exist"),
        ((tmp_path, photo), "is a folder"),
        ((tmp_path / "text.onnx", photo), "is not an ONNX model"),
        ((tmp_path / "model.engine", photo), "is a TensorRT engine, and run takes an ONNX file"),
        ((path, path), "is not a picture that is read here"),
        ((path, tmp_path / "missing.jpg"), "missing.jpg does not exist"),
    ):
        ran = edgeup("run", *arguments, "--format", "json")
        assert ran.status == 2
        assert reason in ran.json["error"]
        assert len(ran.err.splitlines()) == 1


def test_metadata_that_says_two_things_is_refused(
    edgeup: Callable, tmp_path: Path, photo: Path
) -> None:
    path = model(tmp_path, metadata=stored("unit"))
    made = onnx.load(path)
    made.metadata_props.add(key="edgeup.preprocess", value=PRESETS["raw"].to_json())
    onnx.save(made, path)
    ran = edgeup("run", path, photo)
    assert ran.status == 2
    assert "edgeup.preprocess is there twice" in ran.err


def test_a_unit_that_would_move_the_cursor_is_not_printed(
    edgeup: Callable, tmp_path: Path, photo: Path
) -> None:
    metadata = {**stored("unit"), "edgeup.unit": "m\x1b[2J\n[red]"}
    ran = edgeup("run", model(tmp_path, metadata=metadata), photo, "--format", "json")
    assert ran.json["output"]["unit"] is None


def test_two_files_are_written_or_neither(
    edgeup: Callable, tmp_path: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = model(tmp_path, metadata=stored("unit"))
    out = tmp_path / "out"
    out.mkdir()
    (out / "depth.png").write_text("earlier")
    calls = []

    def full_disk(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    options = ("-o", out / "depth.png", "--save-raw", out / "depth.npy")
    ran = edgeup("run", path, photo, *options)
    assert ran.status == 2
    assert "could not write" in ran.err
    assert "No space left" in ran.err
    assert [(entry.name, entry.read_text()) for entry in out.iterdir()] == [
        ("depth.png", "earlier")
    ]


def test_a_fastdepth_that_is_exported_knows_its_preprocessing_and_unit() -> None:
    from edgeup.pipeline.stored import metadata_of
    from edgeup.pipeline.subject import Subject

    subject = Subject(
        name="fastdepth",
        description="",
        module=None,
        inputs=(),
        output_names=("depth",),
        facts={"weights": {"source": "random", "seed": 0}},
        preprocess=replace(PRESETS["fastdepth"], size=(224, 224)),
        unit="m",
    )
    said = metadata_of(subject)
    assert said["edgeup.unit"] == "m"
    assert said["edgeup.weights"] == "random"
    assert json.loads(said["edgeup.preprocess"])["size"] == [224, 224]
    assert metadata_of(replace(subject, preprocess=None, unit=None, facts={})) == {}


def test_what_an_export_stores_a_run_reads(edgeup: Callable, tmp_path: Path, photo: Path) -> None:
    from torch import nn

    from edgeup.export.to_onnx import to_onnx
    from edgeup.spec import TensorSpec

    image = TensorSpec("image", (1, 3, 8, 8))
    metadata = {**stored("imagenet", size=(8, 8)), "edgeup.unit": "m"}
    network = nn.Conv2d(3, 1, 3).eval()
    done = to_onnx(network, [image], opset=17, output_names=["depth"], metadata=metadata)
    (tmp_path / "model.onnx").write_bytes(done.content)
    ran = edgeup("run", tmp_path / "model.onnx", photo, "--format", "json")
    assert ran.status == 0, ran.err
    assert ran.json["preprocess"]["source"] == "metadata"
    assert ran.json["preprocess"]["mean"] == [0.485, 0.456, 0.406]
    assert ran.json["output"]["unit"] == "m"
