"""`edgeup verify`: small ONNX models made here, a module, saved outputs, pictures."""

import json
import sys
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from edgeup.presets import PRESETS

SCHEMA = json.loads((files("edgeup") / "data" / "verify.schema.json").read_text())
VALUE = helper.make_tensor_value_info
FLOAT = TensorProto.FLOAT

Edgeup = Callable[..., Any]


def make(
    path: Path,
    *,
    mode: str = "half_pixel",
    bias: float = 0.5,
    image: str = "image",
    depth: str = "depth",
    shape: tuple[int | str, ...] = (1, 3, 16, 16),
    last: tuple[str, ...] = (),
    second: bool = False,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Convolution, ReLU, resize by 2, convolution: an image to a depth twice its size."""
    rng = np.random.default_rng(0)
    weights = {
        "w1": rng.normal(size=(4, 3, 3, 3)) * 0.3,
        "w2": rng.normal(size=(1, 4, 3, 3)) * 0.3,
        "b2": np.array([bias]),
        "twice": np.array([1, 1, 2, 2]),
    }
    nodes = [
        helper.make_node("Conv", [image, "w1"], ["a"], "first", pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["b"], "relu"),
        helper.make_node(
            *("Resize", ["b", "", "twice"], ["c"], "up"),
            mode="linear",
            coordinate_transformation_mode=mode,
        ),
        helper.make_node("Conv", ["c", "w2", "b2"], ["d"], "second", pads=[1] * 4),
    ]
    value = "d"
    for op in (*last, "Identity"):
        nodes.append(helper.make_node(op, [value], [f"{value}_{op}"], f"the_{op}"))
        value += f"_{op}"
    nodes[-1].output[0] = depth
    outputs = [VALUE(depth, FLOAT, None)]
    if second:
        nodes.append(helper.make_node("Cast", ["b"], ["large"], to=TensorProto.INT64))
        outputs.append(VALUE("large", TensorProto.INT64, None))
    graph = helper.make_graph(
        nodes,
        "g",
        [VALUE(image, FLOAT, shape)],
        outputs,
        [numpy_helper.from_array(w.astype(np.float32), name) for name, w in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, metadata or {})
    onnx.save(model, path)
    return path


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return make(tmp_path / "good.onnx")


def run_json(edgeup: Edgeup, *arguments: object, status: int) -> Any:
    ran = edgeup("verify", *arguments, "--format", "json")
    assert ran.status == status, ran.err
    assert ran.err == ""
    jsonschema.validate(ran.json, SCHEMA)
    return ran.json


def test_a_model_equals_itself_on_every_kind_of_input(edgeup: Edgeup, good: Path) -> None:
    report = run_json(edgeup, good, good, status=0)
    assert report["passed"] is True
    assert report["reference"]["kind"] == report["candidate"]["kind"] == "onnx"
    assert report["inputs"]["kinds"] == [
        *("natural", "noise", "ramp", "impulse", "checkerboard", "zeros", "ones")
    ]
    [output] = report["parity"]
    assert [case["kind"] for case in output["cases"]] == report["inputs"]["kinds"]
    assert output["shape"] == [1, 1, 32, 32]
    assert output["max_abs"] == 0.0
    assert output["psnr"] is None
    assert output["diagnoses"] == []
    assert report["bisect"] is None


def test_two_files_of_one_name_are_told_apart_and_a_notice_stands_once(
    edgeup: Edgeup, tmp_path: Path
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        make(tmp_path / folder / "model.onnx", metadata={"edgeup.weights": "random"})
    sides = (tmp_path / "a" / "model.onnx", tmp_path / "b" / "model.onnx")
    report = edgeup("verify", *sides, "--format", "json").json
    assert [report[side]["name"] for side in ("reference", "candidate")] == [
        *("a/model.onnx", "b/model.onnx")
    ]
    assert [note for note in report["notices"] if "random weights" in note] == [
        "model.onnx has random weights: its output means nothing"
    ]


def test_another_model_fails_and_the_numbers_are_right(
    edgeup: Edgeup, good: Path, tmp_path: Path
) -> None:
    lifted = make(tmp_path / "lifted.onnx", bias=0.75)
    report = run_json(edgeup, good, lifted, "--kinds", "noise,ramp", status=1)
    [output] = report["parity"]
    assert output["passed"] is False
    for metric in ("max_abs", "mean_abs", "rmse", "p50_abs", "p90_abs", "p99_abs", "p99_9_abs"):
        assert output[metric] == pytest.approx(0.25, rel=1e-5)
    assert output["mismatches"] == output["elements"] == 2 * 32 * 32
    assert output["needed"]["atol"] == pytest.approx(0.25, rel=1e-2)
    worst = output["worst"]
    assert worst["candidate"] - worst["reference"] == pytest.approx(0.25, rel=1e-5)
    passing = run_json(edgeup, good, lifted, "--atol", "0.2501", status=0)
    assert passing["parity"][0]["tolerance"]["reason"] == "as it was asked for"
    run_json(edgeup, good, lifted, "--atol", "0.2499", status=1)


def test_the_text_fits_80_columns_and_says_what_matters(
    edgeup: Edgeup, good: Path, tmp_path: Path
) -> None:
    shifted = make(tmp_path / "shifted.onnx", mode="asymmetric", shape=(1, 3, 32, 32))
    reference = make(tmp_path / "reference.onnx", shape=(1, 3, 32, 32))
    ran = edgeup("verify", reference, shifted, "--bisect", "--task", "depth")
    assert ran.status == 1
    assert max(len(line.rstrip()) for line in ran.out.splitlines()) <= 80
    text = " ".join(ran.out.split())
    assert "depth: FAILED, tolerance 5.00e-05 of each input's peak" in text
    assert "0.5 pixel" in text
    assert "first node that differs Resize up (value c)" in text
    assert "edge_error" in text
    assert "99.9 % <=" in text
    assert text.endswith("FAILED")
    assert edgeup("verify", good, good).out.rstrip().endswith("passed")


def test_bisect_names_the_node_in_the_report(edgeup: Edgeup, good: Path, tmp_path: Path) -> None:
    lifted = make(tmp_path / "lifted.onnx", bias=0.75)
    report = run_json(edgeup, good, lifted, "--bisect", status=1)
    assert report["bisect"]["first_difference"]["node"] == "second"
    assert report["bisect"]["first_nonfinite"] is None
    assert run_json(edgeup, good, good, "--bisect", status=0)["bisect"] == {
        "first_difference": None,
        "first_nonfinite": None,
    }


def test_nan_is_found_with_its_node_though_nobody_asked(
    edgeup: Edgeup, good: Path, tmp_path: Path
) -> None:
    logs = make(tmp_path / "logs.onnx", last=("Log",))
    flat = make(tmp_path / "flat.onnx", last=("Abs",))
    report = run_json(edgeup, flat, logs, "--kinds", "noise", status=1)
    assert report["parity"][0]["not_finite"]["candidate"]["nan"] > 0
    assert report["parity"][0]["needed"]["atol"] is None
    assert report["bisect"]["first_nonfinite"] is not None
    assert report["bisect"]["first_difference"] is None


def test_validate_fails_what_is_equal_but_not_finite(
    edgeup: Edgeup, good: Path, tmp_path: Path
) -> None:
    logs = make(tmp_path / "logs.onnx", last=("Log",))
    assert run_json(edgeup, logs, logs, "--kinds", "noise", status=0)["passed"]
    report = run_json(edgeup, logs, logs, "--kinds", "noise", "--validate", status=1)
    assert report["parity"][0]["passed"] is True
    assert report["passed"] is False
    assert "NaN in the candidate" in " ".join(
        edgeup("verify", logs, logs, "--kinds", "noise").out.split()
    )
    run_json(edgeup, good, good, "--validate", status=0)


def test_fail_fast_stops_after_the_first_failure(
    edgeup: Edgeup, good: Path, tmp_path: Path
) -> None:
    lifted = make(tmp_path / "lifted.onnx", bias=0.75)
    report = run_json(edgeup, good, lifted, "--fail-fast", status=1)
    assert [case["kind"] for case in report["parity"][0]["cases"]] == ["natural"]
    assert any("stopped after the first" in notice for notice in report["notices"])
    whole = run_json(edgeup, good, good, "--fail-fast", status=0)
    assert len(whole["parity"][0]["cases"]) == 7


def test_tolerances_by_output_and_by_statistic(edgeup: Edgeup, tmp_path: Path) -> None:
    one = make(tmp_path / "one.onnx", second=True)
    other = make(tmp_path / "other.onnx", second=True, bias=0.75)
    report = run_json(edgeup, one, other, "--atol", "1e-9,depth:0.3", "--kinds", "noise", status=0)
    depth, large = report["parity"]
    assert depth["tolerance"]["atol"] == 0.3
    assert large["tolerance"]["atol"] == 0.0  # integers are compared exactly
    assert large["dtype"] == "int64"
    for options, status in (
        (("--check-error-stat", "mean", "--atol", "0.2501"), 0),
        (("--check-error-stat", "depth:max", "--atol", "0.2499"), 1),
        (("--check-error-stat", "quantile", "--error-quantile", "0.5", "--atol", "0.2501"), 0),
        (("--check-error-stat", "median", "--rtol", "1e9"), 0),
        (("--rtol", "depth:1e-3", "--rtol", "1e9"), 1),
    ):
        said = run_json(edgeup, one, other, "--kinds", "noise", *options, status=status)
        judged = said["parity"][0]["tolerance"].get("statistic", "elemwise")
        assert judged.split(":")[0] in options[1] or judged == "elemwise"


def test_outputs_are_matched_by_order_where_names_differ(edgeup: Edgeup, tmp_path: Path) -> None:
    one = make(tmp_path / "one.onnx")
    other = make(tmp_path / "other.onnx", image="x", depth="y")
    report = run_json(edgeup, one, other, "--kinds", "noise", status=0)
    assert [output["name"] for output in report["parity"]] == ["depth"]
    assert "the candidate's output y was compared with depth" in report["notices"][1]
    larger = make(tmp_path / "larger.onnx", depth="y", shape=(1, 3, 16, 16), second=True)
    report = run_json(edgeup, one, larger, "--kinds", "noise", status=1)
    assert {output["name"]: output["reason"] for output in report["parity"]} == {
        "depth": "the candidate has no such output",
        "y": "the reference has no such output",
        "large": "the reference has no such output",
    }


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The same network in PyTorch, as a user would name it."""
    good = make(tmp_path / "good.onnx")
    (tmp_path / "verified_net.py").write_text(
        "import onnx, torch\n"
        "from onnx import numpy_helper\n"
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        f"        graph = onnx.load({str(good)!r}).graph\n"
        "        for tensor in graph.initializer:\n"
        "            array = torch.from_numpy(numpy_helper.to_array(tensor).copy())\n"
        "            self.register_buffer(tensor.name, array)\n"
        "    def forward(self, image):\n"
        "        f = nn.functional\n"
        "        x = f.conv2d(image, self.w1, padding=1).relu()\n"
        "        x = f.interpolate(x, scale_factor=2, mode='bilinear')\n"
        "        return f.conv2d(x, self.w2, self.b2, padding=1)\n"
        "class Raises(Net):\n"
        "    def forward(self, image):\n"
        "        raise KeyError('no such thing')\n"
        "class Narrow(Net):\n"
        "    def forward(self, image):\n"
        "        return super().forward(image).float()\n"
    )
    monkeypatch.chdir(tmp_path)
    yield "verified_net"
    sys.modules.pop("verified_net", None)


def test_a_module_takes_its_shape_from_the_other_side(
    edgeup: Edgeup, module: str, tmp_path: Path
) -> None:
    good = tmp_path / "good.onnx"
    report = run_json(edgeup, f"{module}:Net", good, status=0)
    assert report["reference"]["kind"] == "pytorch"
    assert report["inputs"]["inputs"] == [
        {"name": "image", "shape": [1, 3, 16, 16], "dtype": "float32"}
    ]
    narrow = report["parity"][0]
    wide = run_json(edgeup, f"{module}:Net", good, "--reference-precision", "fp64", status=0)
    assert wide["reference"]["precision"] == "fp64"
    assert wide["parity"][0]["dtype"] == "float64"
    assert 0 < wide["parity"][0]["rmse"] < 1e-5
    by_onnx = run_json(edgeup, good, good, "--reference-precision", "fp64", status=0)
    assert by_onnx["reference"]["backend"] == "onnx ReferenceEvaluator"
    # Two implementations of the same arithmetic: they differ by less than float32 can tell.
    assert by_onnx["parity"][0]["rmse"] == pytest.approx(wide["parity"][0]["rmse"], rel=1e-6)
    assert narrow["max_abs"] != wide["parity"][0]["max_abs"]
    bare = edgeup("verify", f"{module}:Net", f"{module}:Net")
    assert bare.status == 2
    assert "needs --shape" in bare.err
    run_json(edgeup, f"{module}:Net", f"{module}:Net", "--shape", "1x3x8x12", status=0)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("Raises", (), "raised KeyError: 'no such thing'"),
        ("Narrow", ("--reference-precision", "fp64"), "narrows its numbers to float32"),
        ("Nothing", (), "unknown name in verified_net 'Nothing'"),
    ],
)
def test_a_module_that_does_not_do(
    edgeup: Edgeup, module: str, tmp_path: Path, name: str, options: tuple[str, ...], words: str
) -> None:
    ran = edgeup("verify", f"{module}:{name}", tmp_path / "good.onnx", *options)
    assert ran.status == 2
    assert words in ran.err
    assert len(ran.err.splitlines()) == 1


def test_a_network_by_name(edgeup: Edgeup, tmp_path: Path) -> None:
    network = "fastdepth:mobilenet-nnconv5dw-skipadd-pruned"
    shape = ("--shape", "1x3x32x32", "--kinds", "noise")
    report = run_json(edgeup, network, network, *shape, status=0)
    assert report["reference"]["name"] == network
    assert report["parity"][0]["name"] == "depth"
    other = run_json(edgeup, network, "fastdepth:nnconv5dw", *shape, status=1)
    assert other["candidate"]["weights"]["source"] == "random"
    wrong = edgeup("verify", "fastdepth:nnconv6", network, *shape)
    assert wrong.status == 2
    assert "unknown decoder 'nnconv6'" in wrong.err


def test_saved_outputs_are_a_side(edgeup: Edgeup, good: Path, tmp_path: Path) -> None:
    lifted = make(tmp_path / "lifted.onnx", bias=0.75, image="x")
    saved = tmp_path / "saved"
    first = run_json(
        *(edgeup, good, lifted, "--seed", "5", "--kinds", "noise,ramp"),
        *("--save-outputs", saved, "-o", tmp_path / "r.json"),
        status=1,
    )
    assert json.loads((tmp_path / "r.json").read_text()) == first
    both = run_json(edgeup, saved / "reference.npz", saved / "candidate.npz", status=1)
    assert both["parity"][0]["max_abs"] == first["parity"][0]["max_abs"]
    assert both["inputs"]["cases"] == ["noise", "ramp"]
    # Seed, kinds, names and shapes of the inputs come from the file.
    again = run_json(edgeup, saved / "reference.npz", lifted, status=1)
    assert again["parity"][0]["max_abs"] == first["parity"][0]["max_abs"]
    assert again["inputs"]["seed"] == 5
    run_json(edgeup, good, saved / "reference.npz", status=0)
    other = edgeup("verify", saved / "reference.npz", lifted, "--seed", "6")
    assert other.status == 2
    assert "saved for other inputs than noise" in other.err


def test_somebody_elses_outputs_need_their_inputs(
    edgeup: Edgeup, good: Path, tmp_path: Path
) -> None:
    x = np.random.default_rng(3).uniform(size=(1, 3, 16, 16)).astype(np.float32)
    from edgeup.runtime.ort_session import run_once

    np.savez(tmp_path / "mine.npz", **run_once(good, {"image": x}))
    np.savez(tmp_path / "x.npz", x)
    bare = edgeup("verify", tmp_path / "mine.npz", good)
    assert bare.status == 2
    assert "does not say what inputs" in bare.err
    loaded = ("--load-inputs", tmp_path / "x.npz")
    report = run_json(edgeup, tmp_path / "mine.npz", good, *loaded, status=0)
    assert report["parity"][0]["cases"][0]["kind"] == "x.npz"
    np.save(tmp_path / "z.npy", x)
    two = edgeup(
        "verify", tmp_path / "mine.npz", good, *loaded, "--load-inputs", tmp_path / "z.npy"
    )
    assert two.status == 2
    assert "hold one case" in two.err


def test_a_folder_of_pictures_goes_through_what_the_model_stores(
    edgeup: Edgeup, tmp_path: Path
) -> None:
    stored = {"edgeup.preprocess": PRESETS["imagenet"].to_json()}
    model = make(tmp_path / "model.onnx", metadata=stored)
    folder = tmp_path / "pictures"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (2, 24, 32, 3), np.uint8)
    Image.fromarray(pixels[0]).save(folder / "a.png")
    Image.fromarray(pixels[1]).save(folder / "b.bmp")
    (folder / "notes.txt").write_text("not a picture")
    saved = ("--save-outputs", tmp_path / "out")
    report = run_json(edgeup, model, model, "--load-inputs", folder, *saved, status=0)
    assert [case["kind"] for case in report["parity"][0]["cases"]] == ["a.png", "b.bmp"]
    assert "mean 0.485" in report["inputs"]["preprocess"]
    from edgeup.runtime.ort_session import run_once

    wanted = run_once(model, {"image": PRESETS["imagenet"].apply(pixels[1], (16, 16))})["depth"]
    with np.load(tmp_path / "out" / "reference.npz") as arrays:
        np.testing.assert_array_equal(arrays["b.bmp/depth"], wanted)
    silent = make(tmp_path / "silent.onnx")
    refused = edgeup("verify", silent, silent, "--load-inputs", folder)
    assert refused.status == 2
    assert "say it with --preprocess" in refused.err
    unit = ("--load-inputs", folder, "--preprocess", "unit")
    assert run_json(edgeup, silent, silent, *unit, status=0)["passed"]


def test_ground_truth_judges_both_sides(edgeup: Edgeup, good: Path, tmp_path: Path) -> None:
    lifted = make(tmp_path / "lifted.onnx", bias=0.75)
    saved = tmp_path / "saved"
    options = ("--task", "depth", "--atol", "1")
    run_json(edgeup, good, lifted, "--kinds", "noise,ramp", "--save-outputs", saved, status=1)
    with np.load(saved / "reference.npz") as arrays:
        truths = {name: np.abs(arrays[name][0, 0]) + 1 for name in ("noise/depth", "ramp/depth")}
        outputs = {name: arrays[name][0, 0].astype(np.float64) for name in truths}
    np.savez(tmp_path / "truth.npz", **truths)
    truth = ("--ground-truth", tmp_path / "truth.npz")
    report = run_json(edgeup, good, lifted, "--kinds", "noise,ramp", *truth, *options, status=0)
    section = report["parity"][0]["ground_truth"]
    by_hand = {
        side: np.mean(
            [
                np.sqrt(np.mean((outputs[name] + lift - truths[name].astype(np.float64)) ** 2))
                for name in truths
            ]
        )
        for side, lift in (("reference", 0.0), ("candidate", 0.25))
    }
    assert section["reference"]["rmse"] == pytest.approx(by_hand["reference"], rel=1e-6)
    assert section["candidate"]["rmse"] == pytest.approx(by_hand["candidate"], rel=1e-6)
    assert section["difference"]["rmse"] == pytest.approx(
        by_hand["candidate"] - by_hand["reference"], rel=1e-4
    )
    assert [case["kind"] for case in section["cases"]] == ["noise", "ramp"]
    text = " ".join(edgeup("verify", good, lifted, *truth, *options).err.split())
    assert "has no array for natural: wanted natural/depth" in text
    np.savez(tmp_path / "small.npz", depth=np.ones((4, 4)))
    small = ("--ground-truth", tmp_path / "small.npz", "--kinds", "noise")
    assert "small.npz: depth is 4x4, and the output 1x1x32x32" in (
        edgeup("verify", good, lifted, *small, *options).err
    )


def test_open_dimensions_are_closed_by_a_shape_or_by_the_other_side(
    edgeup: Edgeup, good: Path, tmp_path: Path
) -> None:
    opened = make(tmp_path / "open.onnx", shape=("n", 3, "h", "w"))
    for option in ("--shape", "--shapes", "--input-shapes"):
        shape = "image:[2,3,8,12]" if option == "--input-shapes" else "2x3x8x12"
        report = run_json(edgeup, opened, opened, option, shape, status=0)
        assert report["parity"][0]["shape"] == [2, 1, 16, 24]
    assert run_json(edgeup, opened, good, status=0)["parity"][0]["shape"] == [1, 1, 32, 32]
    bare = edgeup("verify", opened, opened)
    assert bare.status == 2
    assert "give their sizes" in bare.err


def test_a_narrower_candidate_gets_its_own_tolerance(
    edgeup: Edgeup, good: Path, tmp_path: Path
) -> None:
    import onnx_ir as ir

    from edgeup.export.load import load_model
    from edgeup.export.precision.convert import convert

    half = convert(load_model(good), "fp16").model
    ir.save(half, tmp_path / "half.onnx")
    report = run_json(edgeup, good, tmp_path / "half.onnx", status=0)
    assert report["candidate"]["precision"] == "fp16"
    assert any("rounded to fp16 as a GPU stores it" in notice for notice in report["notices"])
    assert "fp16" in report["parity"][0]["tolerance"]["reason"]
    assert 1e-5 < report["parity"][0]["rmse"] < 1e-2
    run_json(edgeup, good, tmp_path / "half.onnx", "--rtol", "1e-6", status=1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("none.onnx", "good.onnx"), "none.onnx does not exist"),
        (("good.onnx", "frob"), "unknown file or network 'frob'"),
        (("good.onnx", "a b"), "no package.module:name"),
        (("good.onnx", "notes.txt"), "nothing that can be compared"),
        (("good.onnx", "weights.pth"), "name the network that they are for"),
        (("good.onnx", "text.onnx"), "is not an ONNX model"),
        (("good.onnx", "text.npz"), "is not an .npz file"),
        (("good.onnx", "good.onnx", "--rtol", "x"), "--rtol x: wanted a number of 0 or more"),
        (("good.onnx", "good.onnx", "--rtol", "-1"), "wanted a number of 0 or more"),
        (("good.onnx", "good.onnx", "--atol", "nan"), "wanted a number of 0 or more"),
        (("good.onnx", "good.onnx", "--rtol", "1,2"), "--rtol is given twice for all outputs"),
        (("good.onnx", "good.onnx", "--rtol", "dept:1"), "unknown output 'dept': did you mean dep"),
        (("good.onnx", "good.onnx", "--check-error-stat", "maxi"), "did you mean max"),
        (("good.onnx", "good.onnx", "--error-quantile", "0.5"), "goes with --check-error-stat"),
        (("good.onnx", "good.onnx", "--kinds", "noize"), "unknown kind of input 'noize'"),
        (("good.onnx", "good.onnx", "--kinds", "noise,noise"), "noise is given twice"),
        (("good.onnx", "good.onnx", "--shape", "1x3x8x8"), "does not fit the input"),
        (("good.onnx", "good.onnx", "--shape", "x:1x3x16x16"), "unknown input 'x'"),
        (("good.onnx", "good.onnx", "--task", "segmentation"), "wanted scores (n c h w, c > 1)"),
        (("good.onnx", "good.onnx", "--data-range", "2"), "is for --task image"),
        (("good.onnx", "good.onnx", "--ground-truth", "t.npz"), "give --task"),
        (("good.onnx", "good.onnx", "--weights", "weights.pth"), "is for networks of edgeup's"),
        (("good.onnx", "good.onnx", "--preprocess", "unit"), "is for pictures"),
        (("good.onnx", "good.onnx", "--trust"), "--trust is for engines without a sidecar"),
        (
            ("good.onnx", "good.onnx", "--save-outputs", "good.onnx"),
            "--save-outputs good.onnx is a file; name a folder",
        ),
        (("good.onnx", "good.onnx", "--load-inputs", "no"), "--load-inputs no does not exist"),
        (("good.onnx", "good.onnx", "--load-inputs", "notes.txt"), "wanted .npz, .npy, a picture"),
        (("good.onnx", "good.onnx", "--load-inputs", "empty"), "no .npz, .npy or picture lies"),
        (("good.onnx", "good.onnx", "--load-inputs", "other.npz"), "no array for the input image"),
        (("good.onnx", "good.onnx", "--load-inputs", "wrong.npy"), "got shape 3x3, wanted 1x3x16"),
        (
            ("good.onnx", "good.onnx", "--kinds", "noise", "--load-inputs", "wrong.npy"),
            "give one of them",
        ),
        (("good.onnx", "good.onnx", "-o", "good.onnx"), "would be overwritten"),
        (("good.onnx", "good.onnx", "--save-outputs", "no/where"), "no does not exist"),
        (("good.onnx", "saved.npz", "--bisect"), "saved.npz is none"),
        (("saved.npz", "good.onnx", "--reference-precision", "fp64"), "saved outputs are what"),
        (("good.onnx", "good.onnx", "--find-fp32-nodes", "k"), "the candidate is in fp32"),
        (("saved.npz", "saved.npz", "--kinds", "noise"), "nothing to give inputs to"),
        (("good.onnx", "two.onnx"), "the two sides take other inputs"),
        (("good.onnx", "quantized.onnx"), "how far int8 may be"),
    ],
)
def test_bad_requests_are_one_line(
    edgeup: Edgeup,
    good: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("notes.txt", "text.onnx", "text.npz", "weights.pth"):
        (tmp_path / name).write_text("hello")
    (tmp_path / "empty").mkdir()
    np.savez(tmp_path / "saved.npz", depth=np.ones((1, 1, 32, 32), np.float32))
    np.savez(tmp_path / "other.npz", other=np.ones(3))
    np.save(tmp_path / "wrong.npy", np.ones((3, 3), np.float32))
    two = helper.make_graph(
        [helper.make_node("Add", ["image", "more"], ["depth"])],
        *("g", [VALUE("image", FLOAT, [1, 3, 16, 16]), VALUE("more", FLOAT, [1])]),
        [VALUE("depth", FLOAT, None)],
    )
    quantized = helper.make_graph(
        [
            helper.make_node("QuantizeLinear", ["image", "s"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s"], ["depth"]),
        ],
        *("g", [VALUE("image", FLOAT, [1, 3, 16, 16])], [VALUE("depth", FLOAT, None)]),
        [numpy_helper.from_array(np.array(0.1, np.float32), "s")],
    )
    for name, graph in (("two.onnx", two), ("quantized.onnx", quantized)):
        opset = [helper.make_opsetid("", 17)]
        onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / name)
    before = sorted(path.name for path in tmp_path.iterdir())
    ran = edgeup("verify", *arguments)
    assert ran.status == 2
    assert ran.out == ""
    assert words in ran.err
    assert len(ran.err.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_fp64_is_refused_where_it_would_take_minutes(edgeup: Edgeup, tmp_path: Path) -> None:
    weights = numpy_helper.from_array(np.zeros((64, 64, 5, 5), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("ConvTranspose", ["image", "w"], ["depth"])],
        *("g", [VALUE("image", FLOAT, [1, 64, 64, 64])], [VALUE("depth", FLOAT, None)]),
        [weights],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "slow.onnx")
    slow = tmp_path / "slow.onnx"
    ran = edgeup("verify", slow, slow, "--reference-precision", "fp64", "--kinds", "noise")
    assert ran.status == 2
    assert "ReferenceEvaluator would take some 210 s" in ran.err
