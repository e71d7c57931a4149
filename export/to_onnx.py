"""The front of the export: a module to the bytes of an ONNX file, and proof of what is in them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgeup.errors import EdgeupError
from edgeup.export.encoder_end import ENCODER_END_KEY, encoder_end_of
from edgeup.export.opset import convert_opset
from edgeup.export.packed import Packed, pack
from edgeup.export.serialize import FileFacts, read_back, to_bytes
from edgeup.export.simplify import simplify
from edgeup.export.torch_dims import DynamicDim
from edgeup.export.torch_export import export_module
from edgeup.spec import TensorSpec

if TYPE_CHECKING:
    import onnx_ir as ir
    import torch


@dataclass(frozen=True)
class Exported:
    """An ONNX file in memory. ``facts`` were read from ``content``, not from what was asked."""

    content: bytes
    facts: FileFacts
    notices: tuple[str, ...]
    seconds: Mapping[str, float]

    @property
    def model(self) -> ir.Model:
        """The graph, parsed anew from ``content`` at each call."""
        import onnx
        import onnx_ir as ir

        return ir.from_proto(onnx.load_model_from_string(self.content))


def to_onnx(
    module: torch.nn.Module,
    inputs: Sequence[TensorSpec],
    *,
    opset: int,
    ir_version: int | None = None,
    output_names: Sequence[str] | None = None,
    dynamic: Mapping[str, DynamicDim] | None = None,
    metadata: Mapping[str, str] | None = None,
    decoder: str | None = None,
) -> Exported:
    """Export, simplify, move to the wanted opset, serialize, read back.

    Args:
        module: exported in inference mode, and left as it was.
        inputs: a spec per input; a dimension that is a string becomes dynamic.
        opset: what the target reads.
        ir_version: by default the one that came with ``opset``.
        output_names: a name per graph output.
        dynamic: what is known of dynamic dimensions, by name.
        metadata: goes into the file's ``metadata_props``.
        decoder: path of the module that the decoder starts with, for `edgeup.export.stages`.

    Raises:
        EdgeupError: a stage could not do its work; the line names the operator or node.
    """
    notices: list[str] = []
    watch = _Watch()
    with watch("export"):
        model = export_module(module, inputs, output_names, dynamic=dynamic, notice=notices.append)
    encoder_end = None if decoder is None else encoder_end_of(model, decoder)
    with watch("simplify"):
        model = simplify(model, notice=notices.append)
    with watch("opset"):
        model = convert_opset(model, opset, ir_version)
    model.metadata_props.update(metadata or {})
    if encoder_end is not None:
        model.metadata_props[ENCODER_END_KEY] = encoder_end
    with watch("serialize"):
        content, facts = finish(model)
    return Exported(content, facts, tuple(notices), watch.seconds)


def finish(model: ir.Model) -> tuple[bytes, FileFacts]:
    """The bytes to deploy, without the traces of how they came to be, checked and read back.

    Torch leaves the module's source lines and the paths of the machine that exported in every
    node's metadata; older exporters, in its documentation. What the model as a whole says of
    itself (class names, licences) stays.

    Args:
        model: not changed.

    Raises:
        EdgeupError: the model is invalid, too large, or the bytes say another opset than it.
    """
    packed = Packed(to_bytes(_without_traces(model)))
    return packed.content, _checked(packed, model)


def finish_files(model: ir.Model, data_name: str) -> tuple[Packed, FileFacts]:
    """As `finish`; over 2 GiB, the weights go to a file of that name beside the model's own."""
    packed = pack(_without_traces(model), data_name)
    return packed, _checked(packed, model)


def _checked(packed: Packed, model: ir.Model) -> FileFacts:
    import onnx

    try:
        with _checkable(packed) as content:
            onnx.checker.check_model(content, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise EdgeupError(f"the graph is no valid ONNX: {' '.join(str(error).split())}") from error
    facts = read_back(packed.content)
    wanted = (model.opset_imports.get(""), model.ir_version)
    if (facts.opset, facts.ir_version) != wanted:
        raise EdgeupError(
            f"the file says opset {facts.opset}, IR {facts.ir_version}; "
            f"wanted opset {wanted[0]}, IR {wanted[1]}"
        )
    return facts


@contextmanager
def _checkable(packed: Packed) -> Iterator[bytes | Path]:
    """What onnx's checker takes; of a file of weights it only sees whether it is there."""
    if not packed.data_name:
        yield packed.content
        return
    with tempfile.TemporaryDirectory(prefix="edgeup-") as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(packed.content)
        with path.with_name(packed.data_name).open("wb") as stream:
            stream.truncate(packed.data_bytes)  # a hole: it takes no room
        yield path


def _without_traces(model: ir.Model) -> ir.Model:
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass

    said = {k: v for k, v in model.metadata_props.items() if not k.startswith("pkg.")}
    clean = model.clone()
    ClearMetadataAndDocStringPass()(clean)
    clean.metadata_props.clear()
    clean.metadata_props.update(said)
    clean.doc_string = model.doc_string
    clean.producer_name, clean.producer_version = "edgeup", None
    clean.graph.name = clean.graph.name or "main_graph"
    return clean


class _Watch:
    """Wall time of named stages, in seconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = time.perf_counter() - start
