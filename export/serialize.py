"""A model to the bytes of a self-contained file, and back to what those bytes say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

# protobuf publishes its stubs apart (types-protobuf)
from google.protobuf.message import DecodeError, EncodeError  # type: ignore[import-untyped]

from edgeup.errors import EdgeupError
from edgeup.export.tensors import inside, tensors_of
from edgeup.spec import Dim, TensorSpec

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir

SIZE_LIMIT = 2**31 - 1
"""Bytes that one protobuf message can hold; a self-contained ONNX file is one message."""


@dataclass(frozen=True)
class FileFacts:
    """What a file says of itself, read from its bytes."""

    opset: int
    ir_version: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def weight_bytes(model: ir.Model) -> int:
    """The size of all constants in bytes, wherever they are stored."""
    return sum(tensor.nbytes for tensor in tensors_of(model))


def to_bytes(model: ir.Model) -> bytes:
    """Serialize with every weight inside: no external data.

    Shapes of inner values are left out where a reader infers them: they are full of tracing's
    own symbols, and nothing checks that they are still true.

    Raises:
        EdgeupError: the file would not fit into 2 GiB.
    """
    size = weight_bytes(model)
    if size > SIZE_LIMIT:
        raise _too_large(size)
    return graph_bytes(inside(model))


def graph_bytes(model: ir.Model) -> bytes:
    """Serialize as `to_bytes`; tensors that lie in files stay there.

    Raises:
        EdgeupError: the file would not fit into 2 GiB.
    """
    import onnx_ir as ir

    size = weight_bytes(model)
    try:
        proto = ir.to_proto(model)
        _drop_inferable(proto.graph)
        content: bytes = proto.SerializeToString()
    except (EncodeError, ValueError) as error:
        raise _too_large(size) from error
    if len(content) > SIZE_LIMIT:
        raise _too_large(len(content))
    return content


def _drop_inferable(graph: onnx.GraphProto) -> None:
    """Keep only what describes the results of operators that a reader may not know."""
    foreign = {n for node in graph.node if node.domain not in ("", "ai.onnx") for n in node.output}
    kept = [value for value in graph.value_info if value.name in foreign]
    del graph.value_info[:]
    graph.value_info.extend(kept)
    for node in graph.node:
        for attribute in node.attribute:
            for branch in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                _drop_inferable(branch)


def _too_large(size: int) -> EdgeupError:
    return EdgeupError(
        f"the model holds {size:,} bytes of weights and a self-contained ONNX file at most "
        f"{SIZE_LIMIT:,}; export it in float16, or in parts"
    )


def read_back(content: bytes) -> FileFacts:
    """What the file says of itself: opset of the default domain, IR version, interface.

    Raises:
        EdgeupError: the bytes are no ONNX model, or its interface holds other than tensors.
    """
    import onnx

    try:
        model = onnx.load_model_from_string(content)
    except DecodeError as error:
        raise EdgeupError(f"{len(content):,} bytes that are no ONNX model: {error}") from error
    opsets = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if len(opsets) != 1:
        raise EdgeupError(f"the model must import one opset of the default domain; it has {opsets}")
    constants = {tensor.name for tensor in model.graph.initializer}
    return FileFacts(
        opset=opsets[0],
        ir_version=model.ir_version,
        inputs=tuple(_spec(v) for v in model.graph.input if v.name not in constants),
        outputs=tuple(_spec(v) for v in model.graph.output),
    )


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    import onnx

    if value.type.WhichOneof("value") != "tensor_type":
        raise EdgeupError(f"{value.name} is no tensor; edgeup handles tensor interfaces alone")
    tensor = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    dims: list[Dim] = [
        # A dimension without size and name is dynamic too; its place names it.
        d.dim_value if d.WhichOneof("value") == "dim_value" else d.dim_param or f"{value.name}_{i}"
        for i, d in enumerate(tensor.shape.dim)
    ]
    return TensorSpec(value.name, tuple(dims), dtype.name)
