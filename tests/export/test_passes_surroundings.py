"""What stands around a site: loops, branches, shared weights, weights that can be fed, functions.

All passes run; each site takes its first form that is not "as written".
"""

from __future__ import annotations

import re

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import onnxruntime as ort
import pytest

from edgeup.export.optimize import optimize
from edgeup.export.passes.contract import Aim, Chosen
from edgeup.export.passes.order import PASSES

RESIZE = 'mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"'
WEIGHT = np.arange(36, dtype=np.float32).reshape(2, 2, 3, 3) % 5 - 2
TWICE = np.float32([1, 1, 2, 2])


def run(proto, feeds):
    session = ort.InferenceSession(
        proto.SerializeToString(), sess_options(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, feeds)


def sess_options():
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def rewritten(text):
    """The model, its rewritten form, and what the passes say."""
    proto = onnx.parser.parse_model(text) if isinstance(text, str) else text
    onnx.checker.check_model(proto)
    aim = Aim("test", "onnxruntime", None, 17)
    done = optimize(
        ir.from_proto(proto), aim, lambda plan, models: Chosen(plan.candidates[0], "a test")
    )
    after = ir.to_proto(done.model)
    onnx.checker.check_model(after, full_check=True)
    return proto, after, done


def picture(*shape, seed=0):
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float32)


def rules_of(done):
    return {site.rule for site in done.rewritten}


LOOP = f"""<ir_version: 8, opset_import: ["" : 17]>
net (float[1,2,8,8] image, int64 count) => (float[1,2,8,8] depth)
<float[2,2,3,3] weight, float[4] twice, bool yes = {{1}}> {{
  depth = Loop<body = step (int64 i, bool go, float[1,2,8,8] x)
                      => (bool again, float[1,2,8,8] y) {{
    again = Identity(go)
    small = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(x)
    up = Resize<{RESIZE}>(small, , twice)
    y = Conv<pads = [1, 1, 1, 1]>(up, weight)
  }}>(count, yes, image)
}}"""


def filled(text, **arrays):
    """The text with numbers for the initializers that are declared without them."""
    for name, array in arrays.items():
        numbers = ", ".join(map(str, array.ravel().tolist()))
        text = re.sub(rf"(float\[[\d,]+\] {name})(?=[,>])", rf"\1 = {{{numbers}}}", text)
    return text


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_loop_computes_the_same_after_its_body_was_rewritten(count):
    text = filled(LOOP, weight=WEIGHT, twice=TWICE)
    before, after, done = rewritten(text)
    assert "fuse-upsample-conv" in rules_of(done)
    feeds = {"image": picture(1, 2, 8, 8), "count": np.asarray(count, np.int64)}
    (want,), (got,) = run(before, feeds), run(after, feeds)
    assert np.ptp(want) > 0
    np.testing.assert_array_equal(got, want)


CAPTURED = f"""<ir_version: 8, opset_import: ["" : 17]>
net (float[1,2,4,4] image, bool which) => (float[1,2,8,8] depth, float[1,2,8,8] other)
<float[2,2,3,3] weight, float[4] twice> {{
  up = Resize<{RESIZE}>(image, , twice)
  depth = Conv<pads = [1, 1, 1, 1]>(up, weight)
  other = If<
    then_branch = yes () => (float[1,2,8,8] a) {{ a = Relu(up) }},
    else_branch = no () => (float[1,2,8,8] b) {{ b = Conv<pads = [1, 1, 1, 1]>(up, weight) }}
  >(which)
}}"""


@pytest.mark.parametrize("which", [True, False])
def test_a_map_that_a_branch_captures_stays_right(which):
    before, after, _ = rewritten(filled(CAPTURED, weight=WEIGHT, twice=TWICE))
    feeds = {"image": picture(1, 2, 4, 4), "which": np.asarray(which)}
    for want, got in zip(run(before, feeds), run(after, feeds), strict=True):
        assert np.ptp(want) > 0
        np.testing.assert_array_equal(got, want)


FED = f"""<ir_version: 8, opset_import: ["" : 17]>
net (float[1,2,4,4] image, float[2,2,3,3] weight) => (float[1,2,8,8] depth)
<float[2,2,3,3] weight, float[4] twice> {{
  up = Resize<{RESIZE}>(image, , twice)
  depth = Conv<pads = [1, 1, 1, 1]>(up, weight)
}}"""


def test_a_weight_that_can_be_fed_is_no_constant():
    proto = onnx.parser.parse_model(
        filled(FED.replace("<float[2,2,3,3] weight, float", "<float"), twice=TWICE)
    )
    proto.graph.initializer.append(onnx.numpy_helper.from_array(WEIGHT, "weight"))
    before, after, done = rewritten(proto)
    reasons = [refusal.reason for _, refusal in done.refusals]
    assert "its weights are not constant" in reasons
    assert not done.rewritten
    image = picture(1, 2, 4, 4)
    for feeds in ({"image": image}, {"image": image, "weight": WEIGHT[::-1].copy()}):
        (want,), (got,) = run(before, feeds), run(after, feeds)
        assert np.ptp(want) > 0
        np.testing.assert_array_equal(got, want)
    assert "weight" in {tensor.name for tensor in after.graph.initializer}


SHARED = f"""<ir_version: 8, opset_import: ["" : 17]>
net (float[1,2,4,4] image) => (float[1,2,8,8] depth, float[1,2,4,4] plain, float[1,2,4,4] same)
<float[2,2,3,3] weight, float[4] twice, float[2] scale = {{3, -2}}, float[2] zeros = {{0, 0}},
 float[2] ones = {{1, 1}}> {{
  up = Resize<{RESIZE}>(image, , twice)
  depth = Conv<pads = [1, 1, 1, 1]>(up, weight)
  plain = Conv<pads = [1, 1, 1, 1]>(image, weight)
  c = Conv<pads = [1, 1, 1, 1]>(image, weight)
  same = BatchNormalization<epsilon = 0.0>(c, scale, zeros, zeros, ones)
}}"""


def test_weights_that_several_nodes_share_are_not_changed_for_the_others():
    before, after, done = rewritten(filled(SHARED, weight=WEIGHT, twice=TWICE))
    assert {"fuse-upsample-conv", "fold-scale"} <= rules_of(done)
    feeds = {"image": picture(1, 2, 4, 4)}
    for want, got in zip(run(before, feeds), run(after, feeds), strict=True):
        assert np.ptp(want) > 0
        np.testing.assert_array_equal(got, want)


FUNCTION = f"""<ir_version: 8, opset_import: ["" : 17, "house" : 1]>
net (float[1,2,4,4] image) => (float[1,2,16,16] depth)
<float[2,2,3,3] weight, float[4] twice> {{
  up = Resize<{RESIZE}>(image, , twice)
  a = Conv<pads = [1, 1, 1, 1]>(up, weight)
  b = house.lift <slope = 0.5> (a)
  depth = house.grow(b)
}}
<domain: "house", opset_import: ["" : 17]>
lift <slope> (x) => (y) {{ y = LeakyRelu <alpha : float = @slope> (x) }}
<domain: "house", opset_import: ["" : 17, "house" : 1]>
grow (x) => (y) {{
  s = Constant<value = float[4] {{1.0, 1.0, 2.0, 2.0}}>()
  up = Resize<{RESIZE}>(x, , s)
  y = house.lift <slope = 0.25> (up)
}}"""


def described(proto):
    """Local functions: name, inputs, outputs, attributes, operators."""
    return [
        (f.name, list(f.input), list(f.output), list(f.attribute), [n.op_type for n in f.node])
        for f in proto.functions
    ]


def test_local_functions_pass_through_and_the_graph_around_them_is_rewritten():
    before, after, done = rewritten(filled(FUNCTION, weight=WEIGHT, twice=TWICE))
    assert rules_of(done) == {"fuse-upsample-conv"}
    assert described(after) == described(before)
    feeds = {"image": picture(1, 2, 4, 4)}
    (want,), (got,) = run(before, feeds), run(after, feeds)
    assert np.ptp(want) > 0
    np.testing.assert_array_equal(got, want)


def test_operators_of_another_domain_pass_through():
    text = FUNCTION.split("<domain")[0]
    before, after, done = rewritten(filled(text, weight=WEIGHT, twice=TWICE))
    assert rules_of(done) == {"fuse-upsample-conv"}
    foreign = [node for node in after.graph.node if node.domain == "house"]
    assert [(n.op_type, list(n.attribute)) for n in foreign] == [
        (n.op_type, list(n.attribute)) for n in before.graph.node if n.domain == "house"
    ]
    assert {entry.domain for entry in after.opset_import} == {"", "house"}


@pytest.mark.parametrize("rule", PASSES, ids=lambda rule: rule.name)
def test_no_pass_takes_an_operator_of_another_domain_for_its_own(rule):
    """The same names in another domain mean something else."""
    kinds = ("Resize", "Upsample", "Conv", "ConvTranspose", "MaxPool", "MaxUnpool", "GridSample")
    kinds += ("DepthToSpace", "SpaceToDepth", "BatchNormalization", "Transpose", "Cast", "Concat")
    body = "".join(f"v{i + 1} = house.{kind}(v{i}) " for i, kind in enumerate(kinds))
    text = (
        '<ir_version: 8, opset_import: ["": 17, "house": 1]> '
        f"g (float[1,2,4,4] v0) => (float[1,2,4,4] y) {{ {body} y = Relu(v{len(kinds)}) }}"
    )
    model = ir.from_proto(onnx.parser.parse_model(text))
    for backend in ("onnxruntime", "tensorrt"):
        aim = Aim("test", backend, (8, 2) if backend == "tensorrt" else None, 17)
        done = optimize(
            model, aim, lambda plan, models: Chosen(plan.candidates[0], ""), passes=[rule]
        )
        assert not done.sites


def test_an_output_without_a_shape_keeps_none():
    text = filled(
        f"""<ir_version: 8, opset_import: ["" : 17]>
        net (float[1,2,4,4] x) => (float[1,2,8,8] y) <float[2,2,3,3] weight, float[4] twice> {{
            up = Resize<{RESIZE}>(x, , twice)
            y = Conv<pads = [1, 1, 1, 1]>(up, weight)
        }}""",
        weight=WEIGHT,
        twice=TWICE,
    )
    proto = onnx.parser.parse_model(text)
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    aim = Aim("test", "onnxruntime", None, 17)  # onnx's checker refuses it, ONNX Runtime does not
    done = optimize(ir.from_proto(proto), aim, lambda plan, models: Chosen(plan.candidates[0], ""))
    after = ir.to_proto(done.model)
    assert rules_of(done) == {"fuse-upsample-conv"}
    assert not after.graph.output[0].type.tensor_type.HasField("shape")
    feeds = {"x": picture(1, 2, 4, 4)}
    want, got = run(proto, feeds)[0], run(after, feeds)[0]
    assert np.ptp(want) > 0
    assert np.array_equal(want, got)
