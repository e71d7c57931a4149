"""All rules of TensorRT for RTX, in the order in which they are asked."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from edgeup.export.capability.contract import Fault, Rule
from edgeup.export.capability.rtx import (
    attention,
    attributes,
    constness,
    control_flow,
    inputs,
    narrow,
    recurrent,
    spatial,
    table,
)
from edgeup.export.capability.rtx.asked import is_rtx
from edgeup.export.capability.versions.conv_transpose import CONV_TRANSPOSE_RULES
from edgeup.export.capability.versions.others import OTHER_RULES

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.contract import Aim

NEWEST = (11, 1)
_AS_IN_TENSORRT = ("conv-transpose-output-shape", "float64")


def _as_in_tensorrt(rule: Rule) -> Rule:
    """A rule of TensorRT's newest version, whose importers TensorRT for RTX shares."""

    def check(node: ir.Node, aim: Aim) -> Fault | None:
        return rule.check(node, replace(aim, tensorrt=NEWEST)) if is_rtx(aim) else None

    return Rule(rule.name, rule.operators, check)


RTX_RULES: tuple[Rule, ...] = (
    *inputs.RULES,
    *table.RULES,
    *narrow.RULES,
    *attributes.RULES,
    *spatial.RULES,
    *constness.RULES,
    *control_flow.RULES,
    *recurrent.RULES,
    *attention.RULES,
    *(
        _as_in_tensorrt(rule)
        for rule in (*CONV_TRANSPOSE_RULES, *OTHER_RULES)
        if rule.name in _AS_IN_TENSORRT
    ),
)
