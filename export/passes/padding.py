"""Pad that a TensorRT lacks, in what it has.

::

    x -> Pad(axes) -> y                    becomes    x -> Pad (every axis) -> y             1
    x -> Pad(constant) -> y                           x -> Concat(block, x, block) -> y      2
    x -> Pad(edge | reflect | wrap) -> y              x -> Gather (per axis) -> y            3

1. Before 10.0, the input ``axes`` is refused; the same is said with pads for all axes.
2. 8.0 pads with zeros on two axes at most: constant blocks are joined on, axis by axis.
3. 8.0 pads with constants alone, and no version before 10.0 wraps around: each place of the output
   copies a place of the input, whatever the type.
4. Refused: pads or a value that are computed, negative pads, shapes that are not known.

Source: onnx-tensorrt's importers 8.0 to 10.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgeup.export.passes.contract import Aim, Candidate, Plan, Refusal
from edgeup.export.passes.facts import attribute, constant, input_of, is_onnx, static_shape
from edgeup.export.passes.trt_resize import Lack, older

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.builder import Builder

N_D_SINCE = (8, 2)
AXES_SINCE = WRAP_SINCE = (10, 0)
_MOST_AXES = 2
_MODES = ("constant", "edge", "reflect", "wrap")


def pad_lacking(node: ir.Node, aim: Aim) -> Lack | None:
    """What a TensorRT lacks of a Pad; None where it takes all."""
    mode = attribute(node, "mode", "constant")
    if mode == "wrap" and older(aim, WRAP_SINCE):
        return _lack("this TensorRT has no Pad that wraps around", "Unsupported pad mode")
    if input_of(node, 3) is not None and older(aim, AXES_SINCE):
        return _lack("this TensorRT does not read the axes of Pad", "dynamic axes for pad")
    if not older(aim, N_D_SINCE):
        return None
    pads = _pads(node)
    if pads is not None and not any(pads):
        return None
    filled = input_of(node, 2)
    value = attribute(node, "value", 0.0) if filled is None else constant(filled)
    if mode != "constant" or (value is not None and np.any(value)):
        return _lack("this TensorRT pads with zeros alone", "only supports constant 0 padding")
    padded = 0 if pads is None else np.count_nonzero(np.reshape(pads, (2, -1)).any(axis=0))
    if padded > _MOST_AXES:
        reason = f"this TensorRT pads two axes at most, and this pads {padded}"
        return _lack(reason, "only supports 2D padding")
    return None


def _lack(reason: str, asserted: str) -> Lack:
    return Lack(reason, evidence=f"onnx-tensorrt's importer of Pad: {asserted}")


def _pads(node: ir.Node) -> list[int] | None:
    """As written, for the axes that are named; None where they are computed."""
    given = attribute(node, "pads", None)
    numbers = constant(input_of(node, 1)) if given is None else np.asarray(given)
    return None if numbers is None else [int(number) for number in numbers.reshape(-1)]


@dataclass(frozen=True, eq=False)
class _Read:
    """A Pad whose shape and pads are known; ``value`` fills where ``mode`` is constant."""

    source: ir.Value
    shape: tuple[int, ...]
    begins: tuple[int, ...]
    ends: tuple[int, ...]
    mode: str
    value: float


class Padding:
    """Rewrites what TensorRT's Pad lacks."""

    name = "padding"

    def check(self, node: ir.Node, aim: Aim) -> Plan | Refusal | None:
        """The rules of the module."""
        if not aim.is_tensorrt or not is_onnx(node, "Pad"):
            return None
        lack = pad_lacking(node, aim)
        if lack is None:
            return None
        read = _read(node)
        if isinstance(read, str):
            return Refusal(node.name or "", f"{lack}, and {read}")
        forms = [Candidate("blocks" if read.mode == "constant" else "gathers", _Writer(read))]
        if read.mode != "wrap" and not older(aim, N_D_SINCE):
            forms.insert(0, Candidate("every axis", _EveryAxis(node, read)))
        return Plan(
            nodes=(node,),
            inputs=(read.source,),
            outputs=(node.outputs[0],),
            candidates=tuple(forms),
            why=str(lack),
            required=True,
        )


def _read(node: ir.Node) -> _Read | str:
    """Rule 4."""
    source, pads = node.inputs[0], _pads(node)
    shape = static_shape(source)
    mode = attribute(node, "mode", "constant")
    if source is None or source.dtype is None or shape is None:
        return "its shape is not known; --shape would tell"
    named = range(len(shape))
    if (axes := input_of(node, 3)) is not None:
        numbers = constant(axes)
        if numbers is None:
            return "its axes are computed"
        named = [int(axis) % len(shape) for axis in numbers]  # type: ignore[assignment] # a list
    filled = input_of(node, 2)
    value = attribute(node, "value", 0.0) if filled is None else constant(filled)
    if pads is None or value is None or mode not in _MODES:
        return "its pads or its value are computed"
    if min(pads, default=0) < 0:
        return "it crops"
    begins, ends = [0] * len(shape), [0] * len(shape)
    for place, axis in enumerate(named):
        begins[axis], ends[axis] = pads[place], pads[place + len(pads) // 2]
    number = float(np.asarray(value).reshape(-1)[0])
    return _Read(source, shape, tuple(begins), tuple(ends), mode, number)


class _EveryAxis:
    """Rule 1."""

    def __init__(self, node: ir.Node, read: _Read) -> None:
        self._read = read
        self._attributes = node.attributes

    def __call__(self, build: Builder, inputs: Sequence[ir.Value]) -> Sequence[ir.Value]:
        read = self._read
        pads = build.constant([*read.begins, *read.ends], np.int64)
        filled = build.constant(np.asarray(read.value, _dtype(read)))
        reads = [inputs[0], pads, filled] if read.mode == "constant" else [inputs[0], pads]
        return [build.op("Pad", reads, self._attributes)]


class _Writer:
    """Rules 2 and 3, axis by axis."""

    def __init__(self, read: _Read) -> None:
        self._read = read

    def __call__(self, build: Builder, inputs: Sequence[ir.Value]) -> Sequence[ir.Value]:
        read, value = self._read, inputs[0]
        shape = list(read.shape)
        for axis, (begin, end) in enumerate(zip(read.begins, read.ends, strict=True)):
            if not begin and not end:
                continue
            if read.mode == "constant":
                value = self._joined(build, value, shape, axis, (begin, end))
            else:
                places = np.pad(np.arange(shape[axis]), (begin, end), read.mode)  # type: ignore[call-overload] # one of its modes
                value = build.op(
                    "Gather", [value, build.constant(places, np.int64)], {"axis": axis}
                )
            shape[axis] += begin + end
        return [value]

    def _joined(
        self, build: Builder, value: ir.Value, shape: list[int], axis: int, pads: tuple[int, int]
    ) -> ir.Value:
        blocks: list[ir.Value | None] = []
        for pad in pads:
            block = np.full([*shape[:axis], pad, *shape[axis + 1 :]], self._read.value)
            blocks.append(build.constant(block, _dtype(self._read)) if pad else None)
        before, after = blocks
        joined = [part for part in (before, value, after) if part is not None]
        return build.op("Concat", joined, {"axis": axis})


def _dtype(read: _Read) -> np.dtype[np.generic]:
    if read.source.dtype is None:
        raise AssertionError("read with a type")
    return read.source.dtype.numpy()
