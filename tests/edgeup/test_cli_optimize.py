"""`edgeup optimize`: the result is equal, or the site is taken back and said."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import jsonschema
import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest

from edgeup.export import optimize as engine
from edgeup.export import serialize
from edgeup.export.passes.contract import Aim, Candidate, Plan
from edgeup.export.passes.facts import is_onnx
from edgeup.pipeline.tuning import model as tuning
from edgeup.report import schema
from edgeup.runtime.latency import Ratio, measure_onnx
from edgeup.runtime.ort_session import OnnxRuntimeSession, run_once
from edgeup.runtime.timer import Budget
from edgeup.spec import Feeds, Outputs


@pytest.fixture(autouse=True)
def _short_timing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here depends on the times."""
    budget = Budget(warmup_s=0.0, warmup_limit_s=0.05, duration_s=0.05, min_rounds=5)
    monkeypatch.setitem(measure_onnx.__kwdefaults__, "budget", budget)
    monkeypatch.setattr(
        tuning, "whole_model_ratio", lambda *given: Ratio(1.2, 1.1, 1.3, 0.95, rounds=9)
    )


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
    assert report["model"]["weights"]["sha256"] == hashlib.sha256(before).hexdigest()
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
    assert "which freezes them in the result, or leave them open with --no-verify" in ran.err
    assert not out.exists()
    ran = edgeup("optimize", source, "-o", out, "--shape", "1x2x4x4")
    assert ran.status == 0, ran.err
    told = "note: --shape froze image: 1x2xnxn became 1x2x4x4 in out.onnx"
    assert told in " ".join(ran.out.split())
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
        (["net.onnx", "-o", ""], "an empty path was given"),
        (["net.onnx", "-o", "net.onnx"], "net.onnx would be overwritten, and it is read"),
        (["net.onnx", "-o", "out.onnx", "--shape", "1x2x8x8:int64"], "leave :int64 out"),
        (["net.onnx", "-o", "out.onnx", "--shape", "image:1x2x8x8:float32"], "leave :float32 out"),
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


UPSAMPLE_THEN_CONV = """<ir_version: 8, opset_import: ["" : {opset}]>
net (float[1,{c},{size},{size}] image) => (float[1,{c},a,b] depth)
<float[4] twice = {{1.0, 1.0, 2.0, 2.0}}, float[0] roi = {{}}> {{
  up = Resize<mode = "nearest", coordinate_transformation_mode = "asymmetric",
              nearest_mode = "floor">(image, roi, twice)
  depth = Conv<pads = [1, 1, 1, 1]>(up, weight)
}}"""


def write_upsampling(path: Path, channels: int = 4, size: str = "16", opset: int = 17) -> Path:
    text = UPSAMPLE_THEN_CONV.format(c=channels, size=size, opset=opset)
    model = onnx.parser.parse_model(text)
    numbers = np.arange(channels * channels * 9, dtype=np.float32) * 7 % 11 - 5
    weight = numbers.reshape(channels, channels, 3, 3)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight, "weight"))
    onnx.save(model, path)
    return path


def test_a_second_tuning_measures_nothing(
    edgeup: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = write_upsampling(tmp_path / "net.onnx")
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


# Files


def test_weights_beyond_the_limit_of_a_file_go_beside_it(
    edgeup: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = write_upsampling(tmp_path / "net.onnx", channels=32), tmp_path / "out.onnx"
    whole = edgeup("optimize", source, "-o", out, "--format", "json")
    assert whole.status == 0, whole.err
    assert "data" not in whole.json["onnx"]
    monkeypatch.setattr(serialize, "SIZE_LIMIT", 20_000)  # the weights take 32 * 32 * 9 * 4 bytes
    ran = edgeup("optimize", source, "-o", out, "--format", "json")
    assert ran.status == 0, ran.err
    jsonschema.validate(ran.json, schema())
    assert ran.json["parity"][0]["passed"]
    assert ran.json["latency"]["median_ms"] > 0
    data = (tmp_path / "out.onnx.data").read_bytes()
    assert ran.json["onnx"]["data"] == {
        "path": "out.onnx.data",
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    assert ran.json["onnx"]["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    assert ran.json["onnx"]["macs"] == whole.json["onnx"]["macs"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("net.onnx", "out.html", "out.json", "out.onnx", "out.onnx.data")
    ]
    # and what was written so is read so
    monkeypatch.undo()
    feeds = {"image": np.random.default_rng(0).random((1, 32, 16, 16), np.float32)}
    want, got = (run_once(path, feeds)["depth"] for path in (source, out))
    assert np.ptp(want) > 0
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4 * np.abs(want).max())


def test_the_weights_that_a_model_is_read_from_are_not_overwritten(
    edgeup: Callable, tmp_path: Path
) -> None:
    proto = onnx.load(write_upsampling(tmp_path / "net.onnx", channels=4))
    (tmp_path / "net.onnx").unlink()
    source = tmp_path / "net.onnx"
    onnx.save(proto, source, save_as_external_data=True, location="out.onnx.data", size_threshold=0)
    before = (tmp_path / "out.onnx.data").read_bytes()
    ran = edgeup("optimize", source, "-o", tmp_path / "out.onnx")
    assert ran.status == 2
    assert "out.onnx.data would be overwritten, and it is read" in ran.err
    assert (tmp_path / "out.onnx.data").read_bytes() == before
    ran = edgeup("optimize", source, "-o", tmp_path / "other.onnx")
    assert ran.status == 0, ran.err
    assert not (tmp_path / "other.onnx.data").exists()


def test_an_old_opset_keeps_weights_that_lie_in_another_file(
    edgeup: Callable, tmp_path: Path
) -> None:
    proto = onnx.load(write_upsampling(tmp_path / "net.onnx", channels=4, opset=11))
    source = tmp_path / "old.onnx"
    onnx.save(proto, source, save_as_external_data=True, location="old.data", size_threshold=0)
    ran = edgeup("optimize", source, "-o", tmp_path / "out.onnx", "--format", "json")
    assert ran.status == 0, ran.err
    assert any("opset 11 became 13" in notice for notice in ran.json["notices"])
    assert ran.json["parity"][0]["passed"]


def test_a_folder_in_the_place_of_a_result_is_refused_at_once(
    edgeup: Callable, tmp_path: Path
) -> None:
    source = write_net(tmp_path / "net.onnx")
    (tmp_path / "out.json").mkdir()
    ran = edgeup("optimize", source, "-o", tmp_path / "out.onnx")
    assert ran.status == 2
    assert "out.json: a folder has that name" in ran.err
    assert not (tmp_path / "out.onnx").exists()


# Open dimensions


def test_open_dimensions_pass_without_verification_and_say_what_is_missing(
    edgeup: Callable, tmp_path: Path
) -> None:
    source, out = write_upsampling(tmp_path / "net.onnx", size="n"), tmp_path / "out.onnx"
    ran = edgeup("optimize", source, "-o", out, "--no-verify", "--format", "json")
    assert ran.status == 0, ran.err
    jsonschema.validate(ran.json, schema())
    assert list(ran.json["latency"]) == ["not_measured"]
    assert "--shape image:1x4xnxn" in ran.json["latency"]["not_measured"]
    shape = onnx.load(out).graph.input[0].type.tensor_type.shape
    assert [d.dim_param or d.dim_value for d in shape.dim] == [1, 4, "n", "n"]
    (site,) = ran.json["rewrites"]
    assert site["form"] == "as written"
    assert "--shape image:1x4xnxn would fix them" in site["why"]
    text = edgeup("optimize", source, "-o", out, "--no-verify")
    assert text.status == 0
    assert "not measured: input image:1x4xnxn has open dimensions" in " ".join(text.out.split())
    closed = edgeup(
        *("optimize", source, "-o", out, "--no-verify", "--format", "json"),
        *("--shape", "image:1x4x64x64"),
    )
    assert closed.status == 0, closed.err
    assert "--shape" not in closed.json["rewrites"][0]["why"]
    assert closed.json["latency"]["median_ms"] > 0


def test_a_refusal_names_the_shape_that_would_unblock_it(edgeup: Callable, tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]>
    net (float[1,2,h,w] image) => (float[1,2,a,b] depth) <int64[4] sizes = {{1, 2, 32, 32}}> {
      big = Resize<mode = "nearest">(image, , , sizes)
      depth = Conv<pads = [1, 1, 1, 1]>(big, weight)
    }"""
    proto = onnx.parser.parse_model(text.replace("{{", "{").replace("}}", "}"))
    weight = np.arange(36, dtype=np.float32).reshape(2, 2, 3, 3)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(weight, "weight"))
    onnx.save(proto, tmp_path / "net.onnx")
    ran = edgeup(
        *("optimize", tmp_path / "net.onnx", "-o", tmp_path / "out.onnx"),
        *("--no-verify", "--format", "json"),
    )
    assert ran.status == 0, ran.err
    reasons = [refusal["reason"] for refusal in ran.json["refusals"]]
    assert any("--shape image:1x2xhxw" in reason for reason in reasons), reasons


OPEN = """<ir_version: 9, opset_import: ["" : 19]>
net (float[n,2,{height},8] image) => (float[n,2,a,b] depth) <int64[2] half = {{4, 4}}> {{
  batch = Shape<start = 0, end = 2>(image)
  sizes = Concat<axis = 0>(batch, half)
  depth = Resize<mode = "linear", antialias = 1>(image, , , sizes)
}}"""


def test_antialias_gives_way_to_an_older_opset_where_the_batch_alone_is_open(
    edgeup: Callable, tmp_path: Path
) -> None:
    source, out = tmp_path / "net.onnx", tmp_path / "out.onnx"
    lower = ("optimize", source, "-o", out, "--no-verify", "--target", "jetpack-5.1.2")
    onnx.save(onnx.parser.parse_model(OPEN.format(height=8)), source)
    ran = edgeup(*lower)
    assert ran.status == 0, ran.err
    assert onnx.load(out).graph.input[0].type.tensor_type.shape.dim[0].dim_param == "n"
    for batch in (1, 3):
        feeds = {"image": np.random.default_rng(0).random((batch, 2, 8, 8), np.float32)}
        want, got = (run_once(path, feeds)["depth"] for path in (source, out))
        assert np.ptp(want) > 0
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-6)


def test_where_more_is_open_the_refusal_names_the_shape(edgeup: Callable, tmp_path: Path) -> None:
    source = tmp_path / "net.onnx"
    lower = ("optimize", source, "-o", tmp_path / "out.onnx", "--target", "jetpack-5.1.2")
    onnx.save(onnx.parser.parse_model(OPEN.format(height="h")), source)
    ran = edgeup(*lower, "--no-verify")
    assert ran.status == 2
    assert "antialias=1 does not exist in opset 17" in ran.err
    assert "the length of axis 2 is not known; --shape image:nx2xhx8 would tell" in ran.err
    assert edgeup(*lower, "--shape", "1x2x8x8").status == 0


def test_tuning_needs_fixed_sizes(edgeup: Callable, tmp_path: Path) -> None:
    source, out = write_upsampling(tmp_path / "net.onnx", size="n"), tmp_path / "out.onnx"
    for more in ([], ["--no-verify"]):
        ran = edgeup("optimize", source, "-o", out, "--tune", *more)
        assert ran.status == 2
        assert "--shape image:1x4xnxn), or leave --tune out" in ran.err
        assert len(ran.err.splitlines()) == 1


# Other people's operators


FUNCTION = """<ir_version: 8, opset_import: ["" : 17, "house" : 1]>
net (float[1,2,8,8] image) => (float[1,2,8,8] depth)
<float[4] ones = {1.0, 1.0, 1.0, 1.0}> {
  a = house.lift <slope = 0.5> (image)
  b = Resize<mode = "nearest">(a, , ones)
  depth = house.lift <slope = 0.25> (b)
}
"""
BODY = """<domain: "house", opset_import: ["" : 17]>
lift <slope> (x) => (y) { y = LeakyRelu <alpha : float = @slope> (x) }"""


def test_local_functions_pass_through(edgeup: Callable, tmp_path: Path) -> None:
    source, out = tmp_path / "net.onnx", tmp_path / "out.onnx"
    onnx.save(onnx.parser.parse_model(FUNCTION + BODY), source)
    ran = edgeup("optimize", source, "-o", out, "--format", "json")
    assert ran.status == 0, ran.err
    model = onnx.load(out)
    assert [node.op_type for node in model.graph.node] == ["lift", "lift"]
    assert [function.name for function in model.functions] == ["lift"]
    assert ran.json["parity"][0]["max_abs"] == 0


def test_an_operator_that_nothing_here_runs_passes_without_verification(
    edgeup: Callable, tmp_path: Path
) -> None:
    source, out = tmp_path / "net.onnx", tmp_path / "out.onnx"
    onnx.save(onnx.parser.parse_model(FUNCTION), source)
    ran = edgeup("optimize", source, "-o", out)
    assert ran.status == 2
    assert "--no-verify leaves the comparison out" in ran.err
    ran = edgeup("optimize", source, "-o", out, "--no-verify", "--format", "json")
    assert ran.status == 0, ran.err
    assert "house" in ran.json["latency"]["not_measured"]
    assert [node.op_type for node in onnx.load(out).graph.node] == ["lift", "Resize", "lift"]


def test_the_original_runs_once_per_input_however_many_tries_a_rollback_takes(
    edgeup: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = (*engine.PASSES, Wrong("Neg"), Wrong("Sigmoid"))
    real = engine.optimize
    monkeypatch.setattr(
        engine, "optimize", lambda *given, **named: real(*given, **{**named, "passes": rules})
    )
    runs: Counter[str] = Counter()
    real_run = OnnxRuntimeSession.run

    def counted(self: OnnxRuntimeSession, feeds: Feeds) -> Outputs:
        runs[str(id(self))] += 1
        return real_run(self, feeds)

    monkeypatch.setattr(OnnxRuntimeSession, "run", counted)
    monkeypatch.setattr(OnnxRuntimeSession, "close", lambda self: None)  # no id is given twice
    source = write_net(tmp_path / "net.onnx")
    ran = edgeup("optimize", source, "-o", tmp_path / "out.onnx", "--format", "json")
    assert ran.status == 1
    assert sum("rolled back wrong@" in notice for notice in ran.json["notices"]) == 1
    kinds = len(ran.json["parity"][0]["cases"])
    # Once per kind, and three times for each that failed: how far does rounding alone move it?
    assert max(runs.values()) <= 4 * kinds


def test_a_file_whose_shapes_contradict_each_other_is_one_line(
    edgeup: Callable, tmp_path: Path
) -> None:
    """onnx_ir logs tracebacks of what onnx's inference says of it."""
    source = tmp_path / "net.onnx"
    text = TEXT.format(size=8).replace("(float[1,2,8,8] depth)", "(float[1,2,9,9] depth)")
    onnx.save(onnx.parser.parse_model(text), source)
    ran = edgeup("optimize", source, "-o", tmp_path / "out.onnx", "--no-verify")
    assert ran.status == 2
    assert len(ran.err.splitlines()) == 1, ran.err
    assert "differ in dimension" in ran.err
    onnx.save(onnx.parser.parse_model(TEXT.format(size=8).replace("Neg(c)", "Neg(z)")), source)
    ran = edgeup("optimize", source, "-o", tmp_path / "out.onnx")
    assert ran.status == 2
    assert len(ran.err.splitlines()) == 1, ran.err
    assert "'z' of node" in ran.err


def test_an_old_opset_stays_where_the_converter_cannot_hold_the_weights(
    edgeup: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_upsampling(tmp_path / "net.onnx", channels=32, opset=11)
    monkeypatch.setattr(serialize, "SIZE_LIMIT", 20_000)
    ran = edgeup("optimize", source, "-o", tmp_path / "out.onnx", "--format", "json")
    assert ran.status == 0, ran.err
    assert any("opset 11 stays: onnx's converter" in notice for notice in ran.json["notices"])
    assert ran.json["onnx"]["opset"] == 11
    assert ran.json["parity"][0]["passed"]


def test_what_the_target_still_refuses_fails_and_is_named(edgeup: Callable, tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]>
        net (float[4,4] data, float[2,4] u) => (float[4,4] y)
        <int64[2,4] i = {0, 1, 2, 3, 0, 1, 2, 3}> {
            y = ScatterElements <reduction = "add"> (data, i, u)
        }"""
    path, out = tmp_path / "net.onnx", tmp_path / "out.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    arguments = ["optimize", path, "-o", out, "--format", "json", "--target"]
    ran = edgeup(*arguments, "trt-8.6")
    assert ran.status == 1, ran.err
    assert ran.json["passed"] is False
    assert [entry["verdict"] for entry in ran.json["acceptance"]] == ["different"]
    assert any("trt-8.6 computes something else for Scatter" in n for n in ran.json["notices"])
    jsonschema.validate(ran.json, schema())
    ran = edgeup(*arguments, "trt-10.3")
    assert (ran.status, ran.json["acceptance"]) == (0, []), ran.err
