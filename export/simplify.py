"""onnxsim as one stage: folds what is constant, and never changes the interface.

Measured on torch 2.13's output it still removes 2 to 4 nodes where the exporter's own folding
stopped (a scale of one, a repeated shape computation); on files of other tools it removes most
of the shape arithmetic. Constant folding is all that is wanted of it.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from typing import TYPE_CHECKING

from edgeup.export.serialize import SIZE_LIMIT, weight_bytes
from edgeup.export.tensors import inside

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir

SIZE_TO_SKIP = SIZE_LIMIT * 9 // 10
"""onnxsim passes one protobuf message through; folding may add to what the weights take."""


def simplify(model: ir.Model, *, notice: Callable[[str], None]) -> ir.Model:
    """The model with constants folded by onnxsim, or the same model when that cannot be.

    Args:
        model: not changed.
        notice: called with one line when the model stays unsimplified, and why.
    """
    import onnx_ir as ir

    size = weight_bytes(model)
    if size > SIZE_TO_SKIP:
        notice(f"not simplified: {size:,} bytes of weights are too near the 2 GiB that fit a file")
        return model
    try:
        import onnxsim
    except ImportError:
        notice("not simplified: onnxsim is not installed (pip install onnxsim)")
        return model
    before = ir.to_proto(inside(model))
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            after, _ = onnxsim.simplify(before)
    # Its failures are many (C++ errors, its own asserts), and none of them ends the export.
    except Exception as error:
        lines = str(error).splitlines() or [type(error).__name__]
        notice(f"not simplified: onnxsim failed with: {lines[0]}")
        return model
    changed = _changed_facts(before, after)
    if changed:
        notice(f"not simplified: onnxsim changed the {changed}")
        return model
    simplified: ir.Model = ir.from_proto(after)
    # onnxsim logs its own work there, 20 entries of it.
    simplified.metadata_props.clear()
    simplified.metadata_props.update(model.metadata_props)
    return simplified


def _changed_facts(before: onnx.ModelProto, after: onnx.ModelProto) -> str | None:
    """Which of the facts that must stay did not."""
    for name, facts in _FACTS.items():
        if facts(before) != facts(after):
            return name
    return None


def _interface(values: object) -> list[tuple[str, int, tuple[int | str, ...]]]:
    return [
        (
            value.name,
            value.type.tensor_type.elem_type,
            tuple(d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim),
        )
        for value in values  # type: ignore[attr-defined]  # protobuf's containers have no stub type
    ]


_FACTS: dict[str, Callable[[onnx.ModelProto], object]] = {
    "inputs": lambda m: _interface(m.graph.input),
    "outputs": lambda m: _interface(m.graph.output),
    "opset": lambda m: {e.domain: e.version for e in m.opset_import if e.domain == ""},
    "IR version": lambda m: m.ir_version,
    "operators' domains": lambda m: {n.domain for n in m.graph.node} - {"", "ai.onnx"},
}
