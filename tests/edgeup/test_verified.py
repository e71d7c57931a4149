"""A file in fp16 is compared as fp16 is, and a wrong rewrite of it is still found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgeup.export import optimize as engine
from edgeup.export.passes.contract import Aim, Candidate, Chosen, Plan
from edgeup.export.passes.driver import SiteModels
from edgeup.export.passes.facts import is_onnx
from edgeup.pipeline.verified import ROUNDING, ROUNDING_FP16, optimize_verified, rounding_of

TEXT = """<ir_version: 8, opset_import: ["" : 17]>
net ({kind}[1,6,5,7] x) => ({kind}[1,4,10,14] y)
<float[4] twice = {{1.0, 1.0, 2.0, 2.0}}> {{
  up = Resize<mode = "nearest", coordinate_transformation_mode = "asymmetric",
              nearest_mode = "floor">(x, , twice)
  y = Conv<pads = [1, 1, 1, 1]>(up, weight)
}}"""
AIM = Aim("cpu", "onnxruntime", None, 17)


def network(kind: str) -> ir.Model:
    proto = onnx.parser.parse_model(TEXT.format(kind=kind))
    weight = np.random.default_rng(0).standard_normal((4, 6, 3, 3)) / 7
    held = weight.astype(np.float16 if kind == "float16" else np.float32)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(held, "weight"))
    return ir.from_proto(proto)


def first(plan: Plan, models: SiteModels) -> Chosen:
    return Chosen(plan.candidates[0], "a test wants it")


@pytest.mark.parametrize(("kind", "tolerance"), [("float", ROUNDING), ("float16", ROUNDING_FP16)])
def test_a_rewrite_that_only_rounds_stays(kind: str, tolerance: object) -> None:
    model = network(kind)
    assert rounding_of(model) is tolerance
    done = optimize_verified(model, AIM, first)
    assert done.passed
    assert len(done.optimized.rewritten) == 1
    assert "Resize" not in {node.op_type for node in done.optimized.model.graph}


class Shifted:
    """A rule with a mistake: the window is one pixel off."""

    name = "shifted"

    def check(self, node: ir.Node, aim: Aim) -> Plan | None:
        if not is_onnx(node, "Conv") or node.inputs[0] is None or "~" in str(node.name):
            return None
        weight = node.inputs[1]

        def build(builder: object, inputs: Sequence[ir.Value]) -> Sequence[ir.Value]:
            assert weight is not None
            assert weight.const_value is not None
            held = builder.constant(weight.const_value.numpy())  # type: ignore[attr-defined]
            pads = {"pads": [0, 1, 2, 1]}
            return [builder.op("Conv", [inputs[0], held], pads)]  # type: ignore[attr-defined]

        candidate = Candidate("shifted", build)
        return Plan((node,), (node.inputs[0],), tuple(node.outputs), (candidate,), "a mistake")


@pytest.mark.parametrize("kind", ["float", "float16"])
def test_a_rewrite_that_is_wrong_is_taken_back(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = engine.optimize

    def with_mistake(*given: object, **named: object) -> object:
        return real(*given, **{**named, "passes": (Shifted(),)})  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "optimize", with_mistake)
    done = optimize_verified(network(kind), AIM, first)
    assert done.rolled_back == ("shifted@Conv_1",)
    assert not done.passed
    assert not done.optimized.rewritten
