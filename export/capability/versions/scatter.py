"""Scatter and GridSample, by version: attributes that a parser does not read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeup.export.capability.contract import Fault, Rule, Verdict
from edgeup.export.capability.versions.sources import importer, spelled
from edgeup.export.passes.constant_grid import grid_sample_lacking
from edgeup.export.passes.facts import attribute
from edgeup.export.passes.scatter_reduction import EVIDENCE, is_refused
from edgeup.export.passes.trt_resize import older

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.contract import Aim

REDUCTION_READ_SINCE = (10, 0)


def _scatter(node: ir.Node, aim: Aim) -> Fault | None:
    reduction = attribute(node, "reduction", "none")
    if aim.tensorrt is None:
        return None
    if node.op_type == "ScatterND" and is_refused(node, aim):
        return Fault(
            Verdict.REFUSED,
            'this TensorRT refuses ScatterND with any reduction attribute, "none" included',
            EVIDENCE,
        )
    if reduction == "none":
        return None
    if older(aim, REDUCTION_READ_SINCE):
        return Fault(
            Verdict.DIFFERENT,
            f"TensorRT {spelled(aim.tensorrt)} ignores reduction={reduction!r}: it overwrites",
            f"{importer(aim)}: the attribute is not read",
            "sum in the model instead (OneHot and MatMul, or separate scatters)",
        )
    if node.op_type == "ScatterND":
        return Fault(
            Verdict.REFUSED,
            f"TensorRT has no ScatterND with reduction={reduction!r}",
            "onnx-tensorrt docs/operators.md, 10.13 and later; NVIDIA/TensorRT CHANGELOG 10.9",
            "sum in the model instead (OneHot and MatMul, or separate scatters)",
        )
    return Fault(
        Verdict.WARNING,
        f"reduction={reduction!r} is computed by TensorRT's own plugin ScatterElements: "
        f"load libnvinfer_plugin",
        "onnx-tensorrt 10.0 and 10.1, importer source",
    )


def _grid_sample(node: ir.Node, aim: Aim) -> Fault | None:
    lack = grid_sample_lacking(node, aim)
    if aim.tensorrt is None or lack is None:
        return None
    verdict = Verdict.DIFFERENT if lack.silent else Verdict.REFUSED
    return Fault(verdict, lack.reason, lack.evidence)


SCATTER_RULES = (
    Rule("scatter-reduction", ("ScatterElements", "ScatterND"), _scatter),
    Rule("grid-sample", ("GridSample",), _grid_sample),
)
