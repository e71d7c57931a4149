"""What timing itself takes: the time of a model that does nothing."""

from __future__ import annotations

import numpy as np

from edgeup.runtime.ort_session import OnnxRuntimeSession
from edgeup.runtime.timer import Budget, measure

_BUDGET = Budget(warmup_s=0.02, warmup_limit_s=0.2, duration_s=0.05, min_rounds=100)


def empty_model_ms(threads: int = 1) -> float:
    """The median of ONNX Runtime returning one float as it came, timed as any model is.

    It is what a call and the clock cost, and a part of every time that is measured.
    """
    with OnnxRuntimeSession(_empty_model(), threads=threads) as session:
        run = session.bind({"x": np.ones(1, np.float32)})
        return float(np.median(measure({"empty": run}, _BUDGET)["empty"]))


def _empty_model() -> bytes:
    from onnx import TensorProto, helper

    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])], "empty", value[:1], value[1:]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content
