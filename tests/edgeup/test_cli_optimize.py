"""`edgeup optimize`: the result is equal, or the site is taken back and said."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import jsonschema
import onnx
import onnx.parser
import onnx_ir as ir
import pytest

from edgeup.export import optimize as engine
from edgeup.export.passes.contract import Aim, Candidate, Plan
from edgeup.export.passes.facts import is_onnx
from edgeup.report import schema

TEXT = """<ir_version: 8, opset_import: ["" : 17]>
net (float[1,2,{size},{size}] image) => (float[1,2,{size},{size}] depth)
<float[4] ones = {{1.0, 1.0, 1.0, 1.0}}> {{
  a = Relu(image)
  b = Resize<mode = "nearest">(a, , ones)
  c = Sigmoid(b)
  d = Neg(c)
  depth = Abs(d)
}}"""


def write_net(path: Path, size: str = "8") -> Path:
    onnx.save(onnx.parser.parse_model(TEXT.format(size=size)), path)
    return path


def test_the_report_lists_what_was_done_and_is_true_of_the_file(
    edgeup: Callable, tmp_path: Path
) -> None:
    source = write_net(tmp_path / "net.onnx")
    before = source.read_bytes()
    out = tmp_path / "out.onnx"
    ran = edgeup("optimize", source, "-o", out, "--format", "json")
    assert ran.status == 0, ran.err
    report = json.loads(out.with_suffix(".json").read_text())
    assert report == ran.json
    jsonschema.validate(report, schema())
    model = onnx.load(out)
    assert [node.op_type for node in model.graph.node] == ["Relu", "Sigmoid", "Neg", "Abs"]
    assert report["onnx"]["nodes"] == {"Relu": 1, "Sigmoid": 1, "Neg": 1, "Abs": 1}
    assert [site["pass"] for site in report["rewrites"]] == ["identity-resize"]
    assert report["parity"][0]["max_abs"] == 0
    assert source.read_bytes() == before
    assert model.opset_import[0].version == 17


class Wrong:
    """A rule with a mistake: it drops Neg, where Abs hides it only for `depth`."""

    name = "wrong"

    def __init__(self, op_type: str) -> None:
        self.op_type = op_type

    def check(self, node: ir.Node, aim: Aim) -> Plan | None:
        if not is_onnx(node, self.op_type) or node.inputs[0] is None:
            return None

        def build(builder: object, inputs: Sequence[ir.Value]) -> Sequence[ir.Value]:
            return [builder.op("Identity", inputs)]  # type: ignore[attr-defined]

        candidate = Candidate("nothing", build)
        outputs = tuple(node.outputs)
        return Plan((node,), (node.inputs[0],), outputs, (candidate,), "a mistake", simpler=True)


def test_a_site_that_is_not_equal_is_taken_back_and_the_others_stay(
    edgeup: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = (*engine.PASSES, Wrong("Neg"), Wrong("Sigmoid"))
    real = engine.optimize

    def with_mistakes(*given: object, **named: object) -> object:
        return real(*given, **{**named, "passes": rules})  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "optimize", with_mistakes)
    source = write_net(tmp_path / "net.onnx")
    ran = edgeup("optimize", source, "-o", tmp_path / "out.onnx", "--format", "json")
    assert ran.status == 1
    kinds = [node.op_type for node in onnx.load(tmp_path / "out.onnx").graph.node]
    assert kinds == ["Relu", "Sigmoid", "Abs"]  # Neg may go: Abs follows; Sigmoid may not
    assert any("rolled back wrong@" in notice for notice in ran.json["notices"])
    assert ran.json["passed"] is False
    assert ran.json["parity"][0]["passed"] is True


def test_open_dimensions_are_refused_with_the_shape_that_closes_them(
    edgeup: Callable, tmp_path: Path
) -> None:
    source = write_net(tmp_path / "net.onnx", size="n")
    out = tmp_path / "out.onnx"
    ran = edgeup("optimize", source, "-o", out)
    assert ran.status == 2
    assert "--shape image:1x2x" in ran.err
    assert not out.exists()
    ran = edgeup("optimize", source, "-o", out, "--shape", "1x2x4x4")
    assert ran.status == 0, ran.err
    dims = [d.dim_value for d in onnx.load(out).graph.input[0].type.tensor_type.shape.dim]
    assert dims == [1, 2, 4, 4]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["missing.onnx", "-o", "out.onnx"], "there is no file missing.onnx"),
        (["text.onnx", "-o", "out.onnx"], "not an ONNX model"),
        (["net.onnx", "-o", "out.txt"], "does not end in .onnx"),
        (["net.onnx", "-o", "no/such/out.onnx"], "does not exist; create it"),
        (["net.onnx", "-o", "out.onnx", "--target", "tpu"], "unknown target 'tpu'"),
        (["net.onnx", "-o", "out.onnx", "--shape", "1x3x4x4"], "does not fit"),
        (["net.onnx"], "--output"),
    ],
)
def test_a_wrong_request_is_one_line_and_writes_nothing(
    edgeup: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    reason: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_net(tmp_path / "net.onnx")
    (tmp_path / "text.onnx").write_text("no model at all, but some words\n" * 9)
    ran = edgeup("optimize", *arguments)
    assert ran.status == 2
    assert reason in ran.err
    assert len(ran.err.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.onnx", "text.onnx"]


def test_without_verification_the_report_says_so(edgeup: Callable, tmp_path: Path) -> None:
    source = write_net(tmp_path / "net.onnx")
    out = tmp_path / "out.onnx"
    ran = edgeup("optimize", source, "-o", out, "--no-verify", "--format", "json")
    assert ran.status == 0
    assert ran.json["parity"] == []
    assert any("not verified" in notice for notice in ran.json["notices"])


UPSAMPLE_THEN_CONV = """<ir_version: 8, opset_import: ["" : 17]>
net (float[1,4,16,16] image) => (float[1,4,32,32] depth)
<float[4] twice = {{1.0, 1.0, 2.0, 2.0}}, float[4,4,3,3] weight = {{{numbers}}}> {{
  up = Resize<mode = "nearest", coordinate_transformation_mode = "asymmetric",
              nearest_mode = "floor">(image, , twice)
  depth = Conv<pads = [1, 1, 1, 1]>(up, weight)
}}"""


def test_a_second_tuning_measures_nothing(
    edgeup: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    numbers = ", ".join(f"{(7 * i) % 11 - 5}.0" for i in range(144))
    source = tmp_path / "net.onnx"
    onnx.save(onnx.parser.parse_model(UPSAMPLE_THEN_CONV.format(numbers=numbers)), source)
    out = tmp_path / "out.onnx"
    first = edgeup("optimize", source, "-o", out, "--tune", "--threads", 1, "--format", "json")
    assert first.status == 0, first.err
    jsonschema.validate(first.json, schema())
    assert (first.json["tuning"]["measured"], first.json["tuning"]["from_cache"]) == (1, 0)
    assert (tmp_path / "cache" / "edgeup" / "tuning.json").is_file()
    again = edgeup("optimize", source, "-o", out, "--tune", "--threads", 1, "--format", "json")
    assert (again.json["tuning"]["measured"], again.json["tuning"]["from_cache"]) == (0, 1)


def test_a_jetsons_forms_are_not_tuned_on_a_cpu(edgeup: Callable, tmp_path: Path) -> None:
    source = write_net(tmp_path / "net.onnx")
    out = tmp_path / "out.onnx"
    ran = edgeup("optimize", source, "-o", out, "--tune", "--target", "jetpack-6.2")
    assert ran.status == 2
    assert "--tune measures on the target's own backend" in ran.err
    assert not out.exists()
