"""A copy of a model whose names say which node is which, whatever an optimizer makes of it.

ONNX Runtime gives a fused node the name of one of its parts, or of a value that one made. With
``edgeup_n7_`` as the seventh node's name and ``edgeup_v7_0_`` as its output's, both are told from
any name that it invents.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir as ir

_TOKEN = re.compile(r"edgeup_[nv](\d+)_")


def labelled(model: ir.Model) -> ir.Model:
    """The copy; inputs and initializers keep their names (outputs do not), nodes their order."""
    copy = model.clone()
    for number, node in enumerate(copy.graph):
        node.name = f"edgeup_n{number}_"
        for index, value in enumerate(node.outputs):
            value.name = f"edgeup_v{number}_{index}_"
    return copy


def nodes_named(text: str) -> list[int]:
    """The numbers of the nodes that a name speaks of."""
    return [int(number) for number in _TOKEN.findall(text)]
