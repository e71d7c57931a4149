"""`edgeup build` on a machine without a GPU: TensorRT for RTX builds, for the rest it refuses."""

import json
import shlex
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import onnx.parser
import pytest

from edgeup.cli.build_parse import parse_engine_shapes, parse_size, the_precision
from edgeup.errors import EdgeupError
from edgeup.pipeline.build.model import file_precision, shape_ranges
from edgeup.runtime.engine.request import ShapeRange
from edgeup.runtime.engine.sidecar import Here, load_engine
from edgeup.spec import TensorSpec

NET = """<ir_version: 8, opset_import: ["" : 17]>
net (float[{batch},2,8,8] image) => (float[{batch},2,16,16] depth)
<float[4] scales = {{1.0, 1.0, 2.0, 2.0}}> {{
  a = Relu(image)
  depth = Resize<mode = "{mode}">(a, , scales)
}}"""


def write_net(path: Path, mode: str = "nearest", batch: str = "1") -> Path:
    onnx.save(onnx.parser.parse_model(NET.format(mode=mode, batch=batch)), path)
    return path


def schema(name: str) -> Any:
    return json.loads((files("edgeup") / "data" / f"{name}.schema.json").read_text())


class TestOnTensorRTForRTX:
    @pytest.fixture(autouse=True)
    def installed(self) -> None:
        pytest.importorskip("tensorrt_rtx")

    def test_engine_and_sidecar_are_written_together(
        self, edgeup: Callable, tmp_path: Path
    ) -> None:
        out = tmp_path / "net.engine"
        ran = edgeup(
            *("build", write_net(tmp_path / "net.onnx"), "--target", "rtx", "-o", out),
            *("--compute-capability", "8.6", "--format", "json"),
        )
        assert ran.status == 0, ran.err
        jsonschema.validate(ran.json, schema("build"))
        described = json.loads((tmp_path / "net.engine.json").read_text())
        jsonschema.validate(described, schema("engine"))
        assert "not verifiable here" in ran.json["read_back"]["why"]
        assert described["engine"]["sha256"] == ran.json["engine"]["sha256"]
        version = ran.json["tensorrt"]["version"]
        here = Here("tensorrt_rtx", version, "NVIDIA GeForce RTX 3060", "8.6")
        assert load_engine(out, here).content == out.read_bytes()
        with pytest.raises(EdgeupError, match=r"built for compute capability 8\.6"):
            load_engine(out, Here("tensorrt_rtx", version, None, "8.9"))

    def test_fp16_is_in_the_graph(self, edgeup: Callable, tmp_path: Path) -> None:
        model = write_net(tmp_path / "net.onnx")
        ran = edgeup(
            *("build", model, "--target", "rtx", "--precision", "fp16"),
            *("-o", tmp_path / "e.engine", "--format", "json"),
        )
        assert ran.status == 0, ran.err
        jsonschema.validate(ran.json, schema("build"))
        assert ran.json["precision"]["is"] == "fp16"
        assert ran.json["precision"]["casts"] == 2
        assert ran.json["onnx"]["sha256"] != ran.json["onnx"]["built_sha256"]

    def test_what_is_no_number_in_fp16_is_said(self, edgeup: Callable, tmp_path: Path) -> None:
        graph = "<float bias = {1e30}> { depth = Add(image, bias) }"
        head = '<ir_version: 8, opset_import: ["" : 17]>\nnet (float[1,2] image)'
        model = onnx.parser.parse_model(f"{head} => (float[1,2] depth) {graph}")
        model.graph.initializer[0].float_data[0] = float("nan")
        onnx.save(model, tmp_path / "net.onnx")
        out = tmp_path / "e.engine"
        ran = edgeup("build", tmp_path / "net.onnx", "--target", "rtx", "--fp16", "-o", out)
        assert "nan: Add_0 (Add): depth" in ran.out

    def test_what_the_parser_refuses_has_node_operator_and_reason(
        self, edgeup: Callable, tmp_path: Path
    ) -> None:
        model = write_net(tmp_path / "net.onnx", mode="cubic")
        proto = onnx.load(model)
        proto.graph.node[1].attribute.append(
            onnx.helper.make_attribute("coordinate_transformation_mode", "tf_crop_and_resize")
        )
        onnx.save(proto, model)
        ran = edgeup("build", model, "--target", "rtx", "-o", tmp_path / "e.engine")
        assert ran.status == 1
        said = " ".join(ran.out.split())
        assert "parser: Resize 'Resize_1':" in said
        assert "'edgeup optimize net.onnx --target rtx -o OUT.onnx' rewrites" in said
        assert not list(tmp_path.glob("e.engine*"))

    def test_open_dimensions_need_a_range(self, edgeup: Callable, tmp_path: Path) -> None:
        model = write_net(tmp_path / "net.onnx", batch="n")
        command = ("build", model, "--target", "rtx", "-o", tmp_path / "e.engine")
        ran = edgeup(*command)
        assert ran.status == 2
        assert "--opt-shapes image:1x2x8x8" in ran.err
        ran = edgeup(
            *(*command, "--format", "json", "--minShapes", "image:1x2x8x8"),
            *("--optShapes", "2x2x8x8", "--maxShapes", "image:4x2x8x8"),
        )
        assert ran.status == 0, ran.err
        wanted = {"min": [1, 2, 8, 8], "opt": [2, 2, 8, 8], "max": [4, 2, 8, 8]}
        assert ran.json["options"]["shapes"] == {"image": wanted}

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (("--timing-cache", "t"), "TensorRT for RTX has no timing cache"),
            (("--use-dla-core", "0"), "rtx has no DLA"),
            (("--using", "trtexec"), "TensorRT for RTX has no trtexec"),
            (("--dry-run",), "rtx has no trtexec"),
            (("--compute-capability", "8.7"), "not 8.7; Jetson boards have none"),
            (("--precision", "fp32", "--fp16"), "contradict each other"),
            (("--allow-gpu-fallback",), "--allow-gpu-fallback is of --use-dla-core"),
            (("--workspace", "1024"), "wanted a number with its unit, as in 1024M or 2G"),
        ],
    )
    def test_what_makes_no_sense_is_refused_in_a_line(
        self, edgeup: Callable, tmp_path: Path, options: tuple[str, ...], said: str
    ) -> None:
        model = write_net(tmp_path / "net.onnx")
        out = tmp_path / "e.engine"
        ran = edgeup("build", model, "--target", "rtx", "-o", out, *options)
        assert ran.status == 2
        assert said in ran.err
        assert len(ran.err.splitlines()) == 1
        assert not list(tmp_path.glob("e.engine*"))


def test_a_laptop_prints_the_line_for_the_board(edgeup: Callable, tmp_path: Path) -> None:
    model = write_net(tmp_path / "my net.onnx")
    options = ("--target", "orin-nano-8gb@6.2", "--workspace", "1024M", "--timing-cache", "t.cache")
    ran = edgeup("build", model, *options)
    assert ran.status == 2
    arguments = [
        *("/usr/src/tensorrt/bin/trtexec", "--onnx=my net.onnx", "--saveEngine=my net.engine"),
        *("--stronglyTyped", "--memPoolSize=workspace:1024", "--profilingVerbosity=detailed"),
        *("--exportLayerInfo=my net.layers.json", "--timingCacheFile=t.cache", "--skipInference"),
    ]
    [line] = ran.out.splitlines()
    assert shlex.split(line) == arguments
    assert line in ran.err
    dry = edgeup("build", model, *options, "--dry-run")
    assert (dry.status, dry.out) == (0, f"{line}\n")
    assert dry.err == ""
    assert "Where the model will run, in the folder that holds my net.onnx: " in ran.err
    as_json = edgeup("build", model, *options, "--dry-run", "--format", "json")
    assert as_json.json == {"commands": [line]}
    refused = edgeup("build", model, *options, "--format", "json")
    assert line in refused.json["error"]


def test_fp16_for_the_board_by_version(edgeup: Callable, tmp_path: Path) -> None:
    model = write_net(tmp_path / "net.onnx")
    dry = ("build", model, "--dry-run", "--precision", "fp16", "--target")
    convert, build = edgeup(*dry, "jetpack-6.2").out.splitlines()
    assert (
        convert == "edgeup optimize net.onnx --target jetpack-6.2 --precision fp16 -o net-fp16.onnx"
    )
    assert "--onnx=net-fp16.onnx" in build
    [weak] = edgeup(*dry, "jetpack-4.6.1").out.splitlines()
    assert "--onnx=net.onnx" in weak
    assert "--fp16" in weak


def test_what_stays_fp32_is_said_to_the_board_too(edgeup: Callable, tmp_path: Path) -> None:
    model, keep = write_net(tmp_path / "net.onnx"), tmp_path / "keep list.txt"
    keep.write_text("Relu_0\tit overflows\n")
    dry = ("build", model, "--dry-run", "--fp16", "--keep-fp32", keep, "--seed", "7", "--target")
    convert, _ = map(shlex.split, edgeup(*dry, "jetpack-6.2").out.splitlines())
    assert convert[convert.index("--keep-fp32") + 1] == "keep list.txt"
    assert convert[convert.index("--seed") + 1] == "7"
    given = [keep if word == keep.name else word for word in convert[3:]]
    given[-1] = tmp_path / "net-fp16.onnx"
    ran = edgeup("optimize", model, *given, "--format", "json")
    assert ran.status == 0, ran.err
    assert [kept["node"] for kept in ran.json["precision"]["kept"]] == ["Relu_0"]
    nameless = edgeup(*dry, "jetpack-6.0")
    assert nameless.status == 2
    assert "the node Relu_0, which must stay fp32, has no name of its own in net.onnx" in (
        nameless.err
    )
    proto = onnx.load(model)
    proto.graph.node[0].name = "first"
    onnx.save(proto, model)
    keep.write_text("first\n")
    [weak] = edgeup(*dry, "jetpack-6.0").out.splitlines()
    assert {"--layerPrecisions=first:fp32", "--layerOutputTypes=first:fp32"} <= set(weak.split())
    keep.write_text("second\n")
    for target in ("jetpack-6.0", "jetpack-6.2"):
        assert "unknown node 'second'" in edgeup(*dry, target).err
    alone = edgeup("optimize", model, "--keep-fp32", keep, "-o", tmp_path / "o.onnx")
    assert "--keep-fp32 says what stays fp32" in alone.err


def test_a_dla_goes_by_flags_before_tensorrt_11(edgeup: Callable, tmp_path: Path) -> None:
    model = write_net(tmp_path / "net.onnx")
    dla = ("build", model, "--dry-run", "--fp16", "--use-dla-core", "0", "--target")
    [line] = edgeup(*dla, "agx-orin-64gb@6.2").out.splitlines()
    assert {"--onnx=net.onnx", "--fp16", "--useDLACore=0"} <= set(line.split())
    assert "--stronglyTyped" not in line
    convert, strong = edgeup(*dla, "agx-orin-64gb@trt-11.4").out.splitlines()
    assert "--precision fp16" in convert
    assert "--fp16" not in strong


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--io-precision", "same"), "follows --precision fp16 or bf16"),
        (
            ("--target", "jetpack-5.1.2", "--fp16", "--io-precision", "same"),
            "inputs and outputs stay float32",
        ),
        (("--target", "cpu"), "there is no engine to build for cpu"),
        (("--target", "jetpack-4.6.1", "--precision", "bf16"), "has no bf16"),
        (("--compute-capability", "8.7"), "--compute-capability is of TensorRT for RTX alone"),
        (("--target", "orin-nano-8gb", "--use-dla-core", "0"), "has no DLA"),
        (("--target", "jetpack-5.1.2", "--builder-optimization-level", "5"), "8.6 is the first"),
        (("--shape", "other:1x2x8x8"), "unknown input 'other'"),
        (("--shape", "1x3x8x8"), "--opt-shapes image:1x3x8x8 does not fit the model's input"),
        (("--use-dla-core", "0", "--target", "trt-10.3", "--dry-run"), "a DLA computes in fp16"),
    ],
)
def test_refusals(edgeup: Callable, tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    ran = edgeup("build", write_net(tmp_path / "net.onnx"), *options)
    assert ran.status == 2
    assert said in ran.err
    assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize("content", [b"", b"no model"])
def test_what_is_no_model_is_refused(edgeup: Callable, tmp_path: Path, content: bytes) -> None:
    model = tmp_path / "net.onnx"
    model.write_bytes(content)
    ran = edgeup("build", model, "--target", "rtx", "-o", tmp_path / "e.engine")
    assert ran.status == 2
    assert len(ran.err.splitlines()) == 1


def test_the_model_is_never_overwritten(edgeup: Callable, tmp_path: Path) -> None:
    model = write_net(tmp_path / "net.onnx")
    before = model.read_bytes()
    (tmp_path / "link").symlink_to(model)
    ran = edgeup("build", model, "--target", "rtx", "-o", model)
    assert ran.status == 2
    assert "would be overwritten, and it is read" in ran.err
    ran = edgeup("build", model, "--target", "trt-10.3", "--timing-cache", tmp_path / "link")
    assert ran.status == 2
    assert "would be overwritten, and it is read" in ran.err
    assert model.read_bytes() == before


def test_links_in_a_circle_and_a_folder_at_the_sidecar(edgeup: Callable, tmp_path: Path) -> None:
    circle, model = tmp_path / "circle", write_net(tmp_path / "net.onnx")
    circle.symlink_to(circle)
    ran = edgeup("build", circle, "--target", "rtx", "-o", tmp_path / "e.engine")
    assert (ran.status, len(ran.err.splitlines())) == (2, 1)
    (tmp_path / "e.engine.json").mkdir()
    ran = edgeup("build", model, "--target", "rtx", "-o", tmp_path / "e.engine")
    assert ran.status == 2
    assert "e.engine.json: a folder has that name" in ran.err
    assert not (tmp_path / "e.engine").exists()


def test_the_spellings_of_trtexec_are_understood(edgeup: Callable, tmp_path: Path) -> None:
    model = write_net(tmp_path / "net.onnx")
    dry = ("build", model, "--target", "trt-10.13", "--dry-run", "--fp16")
    given = (
        *("--timingCacheFile=t", "--memPoolSize=workspace:64", "--builderOptimizationLevel=5"),
        *("--versionCompatible", "--hardwareCompatibilityLevel=sameComputeCapability"),
        *("--useDLACore=0", "--allowGPUFallback", "--noTF32", "--profilingVerbosity=none"),
        "--saveEngine=e.engine",
    )
    ran = edgeup(*dry, *given)
    assert ran.status == 0, ran.err
    assert set(given) <= set(shlex.split(ran.out.splitlines()[-1]))


@pytest.mark.parametrize(
    ("text", "size"),
    [
        *[("1024M", 2**30), ("2G", 2**31), ("512k", 2**19), ("0.5G", 2**29), ("16MiB", 2**24)],
        *[("workspace:1024", 2**30), ("workspace:1024M", 2**30)],
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["1024", "M", "-1M", "0M", "1T", "", "workspace:"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(EdgeupError, match="is not a size"):
        parse_size(text)


def test_shapes_as_trtexec_has_them() -> None:
    assert parse_engine_shapes(["a:1x3x8x8,b:1x4"]) == (
        TensorSpec("a", (1, 3, 8, 8)),
        TensorSpec("b", (1, 4)),
    )
    assert parse_engine_shapes(["1,3,8,8"]) == (TensorSpec("", (1, 3, 8, 8)),)
    assert parse_engine_shapes(None) == ()


def test_precision_options() -> None:
    assert the_precision(None, fp16=True) == "fp16"
    assert the_precision("bf16", fp16=False) == "bf16"
    assert the_precision(None, fp16=False) is None


OPEN = (TensorSpec("x", ("n", 3, "h", "w")), TensorSpec("k", (1, 4)))


def test_a_usual_shape_alone_is_the_only_one() -> None:
    shape = (1, 3, 8, 8)
    assert shape_ranges(OPEN, (), (TensorSpec("x", shape),), ()) == (
        ShapeRange("x", shape, shape, shape),
    )
    static = [TensorSpec("x", shape)]
    assert shape_ranges(static, static, (), ()) == ()


@pytest.mark.parametrize(
    ("least", "usual", "most", "said"),
    [
        ((), (), (), "x:nx3xhxw has open dimensions"),
        ((), ("x:1x4x8x8",), (), "does not fit"),
        ((), ("x:1x3x8",), (), "does not fit"),
        ((), ("1x3x8x8",), (), "of which input"),
        (("x:2x3x8x8",), ("x:1x3x8x8",), (), "must grow or stay the same"),
        ((), ("x:2x3x8x8",), ("x:1x3x8x8",), "must grow or stay the same"),
        ((), ("x:1x3x8x8", "x:1x3x8x8"), (), "names input x twice"),
        (("x:1x3x8x8",), (), ("x:2x3x8x8",), "has open dimensions"),
    ],
)
def test_ranges_that_are_none(
    least: tuple[str, ...], usual: tuple[str, ...], most: tuple[str, ...], said: str
) -> None:
    parsed = [parse_engine_shapes(texts) for texts in (least, usual, most)]
    with pytest.raises(EdgeupError) as caught:
        shape_ranges(OPEN, *parsed)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("kinds", "wanted"),
    [
        (("float", "float"), "fp32"),
        (("float16", "float16"), "fp16"),
        (("float", "float16"), "fp32+fp16"),
    ],
)
def test_the_precision_of_a_file(kinds: tuple[str, str], wanted: str) -> None:
    import onnx_ir as ir

    first, second = kinds
    text = f"""<ir_version: 8, opset_import: ["" : 17]>
    net ({first}[1,4] x, {first}[4,4] a, {second}[4,4] b) => ({second}[1,4] y) {{
      m = MatMul(x, a)
      n = Cast<to = {10 if second == "float16" else 1}>(m)
      y = MatMul(n, b)
    }}"""
    assert file_precision(ir.from_proto(onnx.parser.parse_model(text))) == wanted
