"""A side that is an ONNX file: in float64, as it is written, or with 16-bit results rounded."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgeup.errors import EdgeupError
from edgeup.pipeline.verify.fp64 import check_small
from edgeup.pipeline.verify.rounded import SIXTEEN_BITS, Rounding, open_rounded
from edgeup.pipeline.verify.sides import ReferencePrecision, Side, file_facts

if TYPE_CHECKING:
    import onnx_ir as ir

_BACKEND = "ONNX Runtime, CPU, optimisations off"


def open_onnx(
    path: Path, precision: ReferencePrecision, rounding: Rounding, stack: ExitStack
) -> Side:
    """Load an ONNX file.

    Args:
        path: the file.
        precision: "fp64": on onnx's ReferenceEvaluator.
        rounding: of a file in 16 bits.
        stack: closes it.

    Raises:
        EdgeupError: it cannot be loaded, or not in that precision.
    """
    from edgeup.export.load import load_model
    from edgeup.export.packed import loadable
    from edgeup.pipeline.stored import read_stored
    from edgeup.runtime.float64_session import Float64Session

    said: list[str] = []
    model = load_model(path, said.append)
    if precision == "fp64":
        check_small(path, model)
        # The evaluator runs nodes as they stand in the file.
        source = stack.enter_context(loadable(model)) if said else path
        wide = stack.enter_context(Float64Session(source))
        side = Side(file_facts("onnx", path, "fp64"), "fp32", wide.inputs, wide.run)
        side.facts["backend"] = "onnx ReferenceEvaluator"
    elif (own := _precision_of(model)) in SIXTEEN_BITS:
        side = _sixteen_bit(path, model, own, rounding, stack)
    else:
        side = _as_written(path, own, stack)
    stored = read_stored(path)
    notices = (*said, *side.notices)
    if stored.random_weights:
        notices = (f"{path.name} has random weights: its output means nothing", *notices)
    return replace(side, preprocess=stored.preprocess, notices=notices)


def _as_written(path: Path, precision: str, stack: ExitStack) -> Side:
    from edgeup.runtime.ort_session import OnnxRuntimeSession

    session = stack.enter_context(
        OnnxRuntimeSession(path, optimize=False, yield_cores=True)  # the two take turns
    )
    facts = {**file_facts("onnx", path, precision), "backend": _BACKEND}
    return Side(facts, precision, session.inputs, session.run)


def _sixteen_bit(
    path: Path, model: ir.Model, precision: str, rounding: Rounding, stack: ExitStack
) -> Side:
    """With each result rounded, unless the backend's own rounding was asked for, or there is no
    twin.
    """
    why = "--rounding backend asks for that"
    if rounding == "each-node":
        try:
            inputs, run = open_rounded(model, stack)
        except EdgeupError as error:
            why = f"its results cannot be rounded one by one: {error}"
        else:
            facts = {
                **file_facts("onnx", path, precision),
                "backend": f"{_BACKEND}, each node's result rounded to {precision}",
                "rounding": rounding,
            }
            notice = (
                f"{path.name}: each node's result is rounded to {precision} as a GPU stores it, "
                f"sums in float32; fused layers round less often, 16-bit sums more"
            )
            return Side(facts, precision, inputs, run, notices=(notice,))
    side = _as_written(path, precision, stack)
    side.facts["rounding"] = "backend"
    notice = (
        f"{path.name} in {precision} has ONNX Runtime's own numbers ({why}): computed mostly in "
        f"float32, they are rounded less than on a GPU, and an overflow inside is hidden"
    )
    return replace(side, notices=(notice,))


def _precision_of(model: ir.Model) -> str:
    """The narrowest precision that the file's numbers have."""
    import onnx_ir as ir

    if any(node.op_type == "QuantizeLinear" for node in model.graph.all_nodes()):
        return "int8"
    values = [
        *model.graph.inputs,
        *model.graph.outputs,
        *(value for graph in model.graphs() for value in graph.initializers.values()),
    ]
    types = {value.dtype for value in values}
    types |= {value.const_value.dtype for value in values if value.const_value is not None}
    types |= {
        ir.DataType(node.attributes.get_int("to", 0))
        for node in model.graph.all_nodes()
        if node.op_type == "Cast"
    }
    if ir.DataType.BFLOAT16 in types:
        return "bf16"
    return "fp16" if ir.DataType.FLOAT16 in types else "fp32"
