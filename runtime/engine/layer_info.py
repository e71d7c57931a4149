"""What an engine tells of its layers: the inspector's JSON, which trtexec exports too.

One layer of an engine stands for several nodes of the ONNX graph. Which ones, its metadata says
from TensorRT 8.6 on; before, its name does: ``a + b``, ``PWN(a, b)``, ``a || b`` and
``{ForeignNode[a...z]}`` for all between two nodes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgeup.errors import EdgeupError

_PRECISIONS = {
    **dict.fromkeys(("fp32", "float", "float32"), "fp32"),
    **dict.fromkeys(("fp16", "half", "float16"), "fp16"),
    **dict.fromkeys(("bf16", "bfloat16"), "bf16"),
    **{name: name for name in ("fp8", "fp4", "int4", "int8", "uint8", "int32", "int64", "bool")},
}
"""Weights say "Half", tensors "Channel major FP16 format where channel % 8 == 0" or "Half"."""

_WORD = re.compile(rf"\b({'|'.join(_PRECISIONS)})\b", re.IGNORECASE)

_IDLE = ("Reformat", "NoOp", "Constant", "Shape", "ShapeHostToDevice", "DeviceToShapeHost")
"""Kinds of layers that move data or hold it: no arithmetic to have a precision."""


@dataclass(frozen=True)
class Layer:
    """A layer of an engine.

    Attributes:
        name: as profiles call it.
        kind: TensorRT's ``LayerType``; empty unless the engine was built with details.
        precision: what it computes in ("fp32", "fp16", "int8"); None where it is not told.
        metadata: the ONNX nodes as TensorRT notes them; empty before 8.6.
        on_dla: it runs on the deep learning accelerator.
    """

    name: str
    kind: str = ""
    precision: str | None = None
    metadata: str = ""
    on_dla: bool = False

    @property
    def computes(self) -> bool:
        """Whether it does arithmetic, rather than move or hold data."""
        return self.kind not in _IDLE and not self.name.startswith("Reformatting CopyNode")


def parse_layers(text: str) -> tuple[Layer, ...]:
    """Read the inspector's JSON, or what trtexec's ``--exportLayerInfo`` wrote.

    Raises:
        EdgeupError: it is not of that form.
    """
    try:
        # strict=False: names and metadata hold control characters (0x1e, 0x1f) as they are.
        document = json.loads(text, strict=False)
    except (ValueError, RecursionError) as error:
        raise EdgeupError(f"the layer information is not JSON: {error}") from error
    entries = document.get("Layers") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise EdgeupError('the layer information has no list "Layers"; TensorRT 8.2+ writes it so')
    layers = tuple(_layer(entry) for entry in entries)
    return _placed(layers)


def _layer(entry: Any) -> Layer:
    if isinstance(entry, str):  # LAYER_NAMES_ONLY
        return Layer(entry)
    if not isinstance(entry, Mapping):
        raise EdgeupError(f"the layer information holds {str(entry)[:60]!r} in place of a layer")
    return Layer(
        name=str(entry.get("Name", "")),
        kind=str(entry.get("LayerType", "")),
        precision=_precision(entry),
        metadata=str(entry.get("Metadata", "")),
    )


def _precision(entry: Mapping[str, Any]) -> str | None:
    """The weights' type, which is what a kernel multiplies in; else of what goes in or out."""
    weights = entry.get("Weights")
    told = [weights.get("Type", "")] if isinstance(weights, Mapping) else []
    for side in ("Inputs", "Outputs"):
        for tensor in entry.get(side) or ():
            if isinstance(tensor, Mapping):
                told.append(tensor.get("Format/Datatype", ""))
    found = [_PRECISIONS[match[1].lower()] for text in told if (match := _WORD.search(str(text)))]
    arithmetic = [name for name in found if name not in ("int32", "int64", "bool")]
    return next(iter(arithmetic or found), None)


def _placed(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """Mark what runs on the DLA.

    A DLA's part of the network is one ``{ForeignNode[...]}`` between layers that copy its inputs
    and outputs (``x to nvm``, ``y from nvm``); the GPU's own foreign nodes have no such copies.
    """
    copies = any(re.search(r" (to|from) nvm$", layer.name) for layer in layers)
    return tuple(
        Layer(layer.name, layer.kind, layer.precision, layer.metadata, on_dla=True)
        if "dla" in layer.kind.lower() or (copies and layer.name.startswith("{ForeignNode"))
        else layer
        for layer in layers
    )


def nodes_of(layer: Layer, order: Sequence[str]) -> tuple[str, ...]:
    """The ONNX nodes that a layer stands for.

    Args:
        layer: a layer of an engine.
        order: the names of the graph's nodes, in its order.
    """
    known = {name: number for number, name in enumerate(order) if name}
    noted = re.findall(r"\[ONNX Layer: (.*?)\]", layer.metadata)
    if noted:
        return tuple(dict.fromkeys(name for name in noted if name in known))
    if layer.name in known:
        return (layer.name,)
    if layer.name.startswith("Reformatting CopyNode"):
        return ()
    found: list[str] = []
    for first, last in re.findall(r"\{ForeignNode\[(.*?)\.\.\.(.*?)\]\}", layer.name):
        if first in known and last in known:
            found += order[known[first] : known[last] + 1]
    tokens = re.split(
        r" \+ | \|\| |, |(?:PWN\()+|\)+(?= |,|$)|\{ForeignNode\[|\.\.\.|\]\}", layer.name
    )
    found += [token for token in tokens if token in known]
    return tuple(dict.fromkeys(name for name in found if name))
