"""MaxPool, AveragePool and LpPool, by version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeup.export.capability.contract import Fault, Rule, Verdict
from edgeup.export.capability.versions.ranks import rank_rule
from edgeup.export.capability.versions.sources import importer
from edgeup.export.passes.ceil_pooling import EVIDENCE, dropped_window
from edgeup.export.passes.facts import attribute

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.contract import Aim

_POOLS = ("MaxPool", "AveragePool", "LpPool")


def _indices(node: ir.Node, aim: Aim) -> Fault | None:
    if aim.tensorrt is None or len(node.outputs) == 1:
        return None
    return Fault(
        Verdict.REFUSED,
        "MaxPool with indices: TensorRT gives the values alone",
        f"{importer(aim)}: TensorRT does not support the indices output in MaxPool!",
    )


def _dilations(node: ir.Node, aim: Aim) -> Fault | None:
    dilations = attribute(node, "dilations", ())
    if aim.tensorrt is None or all(step == 1 for step in dilations):
        return None
    return Fault(
        Verdict.REFUSED,
        f"dilations {list(dilations)}: TensorRT pools over neighbours alone",
        f"{importer(aim)}: does not support dilations other than 1",
    )


def _average_pads(node: ir.Node, aim: Aim) -> Fault | None:
    """The end pads may be equal to the begin pads, or one more."""
    pads = attribute(node, "pads", ())
    half = len(pads) // 2
    pairs = list(zip(pads[:half], pads[half:], strict=False))[:2]
    if aim.tensorrt is None or all(end - begin in (0, 1) for begin, end in pairs):
        return None
    return Fault(
        Verdict.REFUSED,
        f"pads {list(pads)}: TensorRT averages with end pads equal to the begin's, or one more",
        f"{importer(aim)}: does not support the form of the attribute pads",
        "pad in an operator of its own (Pad) before it",
    )


def _ceil_mode(node: ir.Node, aim: Aim) -> Fault | None:
    axis = dropped_window(node)
    if aim.tensorrt is None or axis is None:
        return None
    return Fault(
        Verdict.DIFFERENT,
        f"on axis {axis} the last window of ceil_mode begins behind the map: ONNX drops it, and "
        f"TensorRT's output is one larger",
        EVIDENCE,
        "write ceil_mode=0 with the pads that give the same windows",
    )


POOLING_RULES = (
    rank_rule(
        "pooling-rank",
        _POOLS,
        "TensorRT pools on one to three axes",
        "kernel_shape misaligns with the shape of the input tensor",
    ),
    Rule("pooling-indices", ("MaxPool",), _indices),
    Rule("pooling-dilations", _POOLS, _dilations),
    Rule("pooling-average-pads", ("AveragePool",), _average_pads),
    Rule("pooling-ceil-mode", _POOLS, _ceil_mode),
)
