"""LSTM, GRU and RNN: settings that TensorRT for RTX lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeup.export.capability.contract import Fault, Rule
from edgeup.export.capability.rtx.asked import is_rtx, refused
from edgeup.export.passes.facts import attribute

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.contract import Aim


def _recurrent(node: ir.Node, aim: Aim) -> Fault | None:
    if not is_rtx(aim):
        return None
    if attribute(node, "input_forget", 0):
        return refused(
            "coupled input and forget gates",
            "Coupled input/forget is unsupported in the LSTM converter",
            "export without input_forget",
        )
    activations = attribute(node, "activations", ())
    if "Affine" in activations:
        return refused("activation Affine", "Unknown activation type: Affine")
    half = len(activations) // 2
    both_ways = attribute(node, "direction", "forward") == "bidirectional"
    if both_ways and activations[:half] != activations[half:]:
        return refused(
            f"activations {list(activations)} differ between the directions",
            "The parser does not currently support cases where activations for the reverse pass "
            "do not match the forward pass",
            "split it into two, one for each direction",
        )
    return None


RULES = (Rule("rtx-recurrent", ("LSTM", "GRU", "RNN"), _recurrent),)
