"""No silent downgrade: what an engine does, compared with what was asked of it.

1. Strong typing: a layer that computes in another precision than its nodes is a downgrade.
2. Weak typing: a layer with a node that must stay fp32, and that computes in less, is one; so is
   an engine that does less than half of its multiply-accumulates in fp16 when fp16 was asked.
   Other layers in fp32 are the builder's choice and are listed.
3. DLA: a layer on the GPU is one, unless falling back was allowed; then it is listed, and it is
   one if nothing at all runs on the DLA.

INT8 and smaller come from quantization in the graph, never from the builder alone, and are not
compared. A layer whose nodes or precision are not told is not compared either, and is counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edgeup.runtime.engine.layer_info import Layer, nodes_of

_FLOATS = ("fp32", "fp16", "bf16")

LEAST_FP16_SHARE = 0.5
"""Of the multiply-accumulates, under weak typing."""


@dataclass(frozen=True)
class Asked:
    """What the engine was asked to be.

    Attributes:
        precisions: per ONNX node, in the graph's order, the precision that it was asked to
            compute in; None for a node without one (integers, shapes, casts).
        macs: multiply-accumulates per node.
        strongly_typed: precisions are in the graph; without it, ``fp16`` ones are a wish.
        dla: layers belong on the DLA.
        gpu_fallback: the GPU may take what the DLA cannot.
    """

    precisions: Mapping[str, str | None]
    macs: Mapping[str, int]
    strongly_typed: bool
    dla: bool = False
    gpu_fallback: bool = False


@dataclass(frozen=True)
class Downgrade:
    """A layer that is less than what was asked; ``layer`` is empty where it is the whole engine."""

    layer: str
    asked: str
    got: str
    reason: str


@dataclass(frozen=True)
class ReadBack:
    """What came of the comparison.

    Attributes:
        verified: the layers could be read and compared; ``why`` says why not.
        downgrades: each is an error.
        layers: how many the engine has; ``compared`` of them told enough to be compared.
        fp16_share: of the multiply-accumulates of the compared layers; None without any.
        fp32_layers: layers in fp32 where fp16 was allowed, but not demanded.
        gpu_layers: layers on the GPU although a DLA was asked for.
    """

    verified: bool
    why: str
    downgrades: tuple[Downgrade, ...] = ()
    layers: int = 0
    compared: int = 0
    fp16_share: float | None = None
    fp32_layers: tuple[str, ...] = ()
    gpu_layers: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """No downgrade was found; also true where nothing could be verified."""
        return not self.downgrades

    def to_json(self) -> dict[str, Any]:
        """The fields, as a report and a sidecar hold them."""
        fields = asdict(self)
        lists = ("downgrades", "fp32_layers", "gpu_layers")
        return {"passed": self.passed, **fields, **{name: list(fields[name]) for name in lists}}


def compare(layers: Sequence[Layer], asked: Asked) -> ReadBack:
    """Compare an engine's layers with what was asked."""
    order = list(asked.precisions)
    parts = [(layer, nodes_of(layer, order)) for layer in layers if layer.computes]
    told = [(layer, nodes) for layer, nodes in parts if layer.precision is not None and nodes]
    downgrades: list[Downgrade] = []
    fp32_layers: list[str] = []
    for layer, nodes in told:
        wanted = {p for name in nodes if (p := asked.precisions[name]) is not None}
        if layer.precision not in _FLOATS or not wanted:
            continue
        if asked.strongly_typed:
            downgrades += _strong(layer, wanted)
        elif layer.precision != "fp32" and "fp32" in wanted:
            reason = f"{', '.join(n for n in nodes if asked.precisions[n] == 'fp32')} stay in fp32"
            downgrades.append(Downgrade(layer.name, "fp32", str(layer.precision), reason))
        elif layer.precision == "fp32" and "fp32" not in wanted:
            fp32_layers.append(layer.name)
    share = _fp16_share(told, asked)
    if not asked.strongly_typed:
        downgrades += _too_little_fp16(share, asked)
    gpu_layers = tuple(layer.name for layer, _ in parts if not layer.on_dla) if asked.dla else ()
    downgrades += _off_the_dla(layers, gpu_layers, asked)
    return ReadBack(
        verified=bool(told),
        why="" if told else _nothing_told(layers),
        downgrades=tuple(downgrades),
        layers=len(layers),
        compared=len(told),
        fp16_share=share,
        fp32_layers=tuple(fp32_layers),
        gpu_layers=gpu_layers,
    )


def _strong(layer: Layer, wanted: set[str]) -> list[Downgrade]:
    """A layer fused from nodes of several precisions may compute in any of them."""
    if layer.precision in wanted:
        return []
    asked = " or ".join(sorted(wanted))
    return [Downgrade(layer.name, asked, str(layer.precision), "the graph's types are binding")]


def _fp16_share(told: Sequence[tuple[Layer, tuple[str, ...]]], asked: Asked) -> float | None:
    work = [(layer, sum(asked.macs.get(name, 0) for name in nodes)) for layer, nodes in told]
    total = sum(macs for _, macs in work)
    if total == 0:
        return None
    return sum(macs for layer, macs in work if layer.precision == "fp16") / total


def _too_little_fp16(share: float | None, asked: Asked) -> list[Downgrade]:
    wants_fp16 = "fp16" in asked.precisions.values()
    if not wants_fp16 or share is None or share >= LEAST_FP16_SHARE:
        return []
    return [
        Downgrade(
            "",
            "fp16",
            "fp32",
            f"{share:.0%} of the multiply-accumulates run in fp16; wanted at least "
            f"{LEAST_FP16_SHARE:.0%}",
        )
    ]


def _off_the_dla(
    layers: Sequence[Layer], gpu_layers: Sequence[str], asked: Asked
) -> list[Downgrade]:
    if not asked.dla:
        return []
    if not any(layer.on_dla for layer in layers):
        return [Downgrade("", "DLA", "GPU", "no layer runs on the DLA")]
    if asked.gpu_fallback:
        return []
    return [Downgrade(name, "DLA", "GPU", "falling back was not allowed") for name in gpu_layers]


def _nothing_told(layers: Sequence[Layer]) -> str:
    if layers and not any(layer.kind for layer in layers):
        return "the engine tells names alone; build with --profiling-verbosity detailed"
    return "the engine's layers tell no precision, or none of the graph's nodes"
