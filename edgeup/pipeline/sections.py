"""Sections of a report that several verbs write alike."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from edgeup.spec import TensorSpec

if TYPE_CHECKING:
    from edgeup.export.serialize import FileFacts


def onnx_section(content: bytes, facts: FileFacts, file_name: str) -> dict[str, Any]:
    """The report's ``onnx``: what the written bytes say of themselves."""
    import onnx
    import onnx_ir as ir

    from edgeup.export.cost import macs, nodes_by_operator

    model = ir.from_proto(onnx.load_model_from_string(content))
    return {
        "path": file_name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "opset": facts.opset,
        "ir_version": facts.ir_version,
        "nodes": nodes_by_operator(model),
        "macs": macs(model).total,
        "inputs": [tensor_section(spec) for spec in facts.inputs],
        "outputs": [tensor_section(spec) for spec in facts.outputs],
    }


def tensor_section(spec: TensorSpec) -> dict[str, Any]:
    """A graph input or output."""
    return {"name": spec.name, "shape": list(spec.shape), "dtype": spec.dtype}
