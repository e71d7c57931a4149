"""A 16-bit ONNX file, run with each node's result rounded as a GPU stores it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from edgeup.spec import Feeds, Outputs, TensorSpec

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.runtime.ort_session import OnnxRuntimeSession

Rounding = Literal["each-node", "backend"]
"""What rounds a 16-bit graph's numbers: a cast behind each node, or ONNX Runtime as it likes."""

SIXTEEN_BITS = ("fp16", "bf16")


def open_rounded(
    model: ir.Model, stack: ExitStack
) -> tuple[tuple[TensorSpec, ...], Callable[[Feeds], Outputs]]:
    """Inputs of a 16-bit model and a way to run it on its rounding twin.

    Types are those of the file, but for bfloat16, which NumPy lacks: it is held in float32.

    Args:
        model: as it was loaded.
        stack: closes what runs it.

    Raises:
        EdgeupError: it has no twin, or ONNX Runtime does not load it.
    """
    from edgeup.export.packed import loadable
    from edgeup.export.precision.twin import twin_of_file
    from edgeup.runtime.ort_session import OnnxRuntimeSession

    with ExitStack() as opened:
        source = opened.enter_context(loadable(twin_of_file(model)))
        session = opened.enter_context(OnnxRuntimeSession(source, optimize=False, yield_cores=True))
        stack.push(opened.pop_all())
    half = _float16(model)
    inputs = tuple(
        replace(spec, dtype="float16") if spec.name in half else spec for spec in session.inputs
    )
    return inputs, _runner(session, half)


def _float16(model: ir.Model) -> set[str]:
    import onnx_ir as ir

    values = (*model.graph.inputs, *model.graph.outputs)
    return {value.name or "" for value in values if value.dtype == ir.DataType.FLOAT16}


def _runner(session: OnnxRuntimeSession, half: set[str]) -> Callable[[Feeds], Outputs]:
    def run(feeds: Feeds) -> Outputs:
        wide = {n: a.astype(np.float32) if n in half else a for n, a in feeds.items()}
        return _narrowed(session.run(wide), half)

    return run


def _narrowed(outputs: Outputs, half: set[str]) -> Outputs:
    """In the file's own types; the numbers are rounded already."""
    return {n: a.astype(np.float16) if n in half else a for n, a in outputs.items()}
