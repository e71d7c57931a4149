"""Where a network's encoder ends, which its sizes alone do not tell.

Sizes tell where a way down turns up. Which of the convolutions at the lowest size are the
encoder's last and which the decoder's first, as where a decoder convolves and then resizes
(FastDepth's NNConv), only the modules say. The exporter knows them; the file keeps the name of
the encoder's last node.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir as ir

ENCODER_END_KEY = "edgeup.encoder_end"
"""In the ONNX metadata of a model: the node whose output the decoder reads first."""

_SCOPES = "pkg.torch.onnx.name_scopes"


def encoder_end_of(model: ir.Model, decoder: str) -> str | None:
    """The name of the node before the first of a module; None where nothing is before it.

    Args:
        model: as torch exported it, with the modules' paths in its nodes' metadata.
        decoder: the path of the module that the decoder starts with.
    """
    for node in model.graph:
        if not _is_of(node, decoder):
            continue
        for value in node.inputs:
            before = None if value is None else value.producer()
            if before is not None and before.op_type != "Constant" and not _is_of(before, decoder):
                return before.name
    return None


def _is_of(node: ir.Node, module: str) -> bool:
    try:
        scopes = ast.literal_eval(node.metadata_props.get(_SCOPES, "[]"))
    except (ValueError, SyntaxError):
        return False
    return module in scopes[:-1]  # the last is the operation itself
