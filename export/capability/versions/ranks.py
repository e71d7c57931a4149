"""TensorRT's layers of windows work on one to three axes behind n and c."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeup.export.capability.contract import Fault, Rule, Verdict
from edgeup.export.capability.versions.sources import importer
from edgeup.export.passes.facts import rank

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.contract import Aim

_RANKS = (3, 4, 5)


def rank_rule(name: str, operators: tuple[str, ...], reason: str, said: str) -> Rule:
    """Refuses an input of another rank; ``said`` is what the importer's source says then."""

    def check(node: ir.Node, aim: Aim) -> Fault | None:
        dims = rank(node.inputs[0])
        if aim.tensorrt is None or dims is None or dims in _RANKS:
            return None
        return Fault(
            Verdict.REFUSED,
            f"its input has {dims} dimensions; {reason}",
            f"{importer(aim)}: {said}",
        )

    return Rule(name, operators, check)
