"""A Resize or Upsample node, read the same way whatever its opset, and written again elsewhere.

===========  ==========================================
Upsample-7   ``x``; attribute ``scales``
Upsample-9   ``x scales``
Resize-10    ``x scales``; places as ``asymmetric``, ``floor``
Resize-11    ``x roi scales sizes``
Resize-18    the same, with attribute ``axes``
===========  ==========================================
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeup.export.passes.contract import Refusal
from edgeup.export.passes.facts import attribute, constant, input_of, is_onnx, rank

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.builder import Builder

SPATIAL = 2
"""The first spatial axis of ``n c h w``."""


@dataclass(frozen=True, eq=False)
class Resampling:
    """What a node does to the spatial axes; batch and channels are left as they are.

    Attributes:
        node: the Resize or Upsample.
        source: what it reads.
        mode: "nearest", "linear" or "cubic".
        factors: output extent per input extent, by spatial axis.
        grid: two resamplings of the same grid take each output from the same places.
    """

    node: ir.Node
    source: ir.Value
    mode: str
    factors: tuple[Fraction, ...]
    grid: tuple[Any, ...]

    @property
    def enlarges(self) -> bool:
        """Whether no axis shrinks."""
        return all(factor >= 1 for factor in self.factors)

    @property
    def whole_factors(self) -> tuple[int, ...] | None:
        """The factors where each output ``q`` is input ``q // factor``, else None."""
        if self.mode != "nearest":
            return None
        if any(f.denominator != 1 or not _takes_floor(self.node, int(f)) for f in self.factors):
            return None
        return tuple(int(f) for f in self.factors)

    @property
    def names_channels(self) -> bool:
        """Whether the node is given the output's sizes, the number of channels among them."""
        return constant(input_of(self.node, 3)) is not None and "axes" not in self.node.attributes

    def again(self, build: Builder, value: ir.Value, channels: int | None) -> ir.Value:
        """The same resampling of another map; its ``channels`` matter if they are named."""
        inputs: list[ir.Value | None] = [value]
        for index, given in enumerate(self.node.inputs[1:], 1):
            numbers = constant(given)
            if numbers is not None and index == 3 and self.names_channels:
                numbers = np.asarray([numbers[0], channels, *numbers[SPATIAL:]], numbers.dtype)
            inputs.append(None if numbers is None else build.constant(numbers))
        return build.op(self.node.op_type, inputs, self.node.attributes)


def is_resize(node: ir.Node | None) -> bool:
    """Whether the node resizes."""
    return is_onnx(node, "Resize", "Upsample")


def read_resampling(node: ir.Node) -> Resampling | Refusal:
    """Read a Resize or Upsample; refused where it does more than resize the spatial axes."""
    source = node.inputs[0]
    axes = rank(source)
    name = node.name or ""
    if source is None or axes is None or axes <= SPATIAL:
        return Refusal(name, f"its input has rank {axes}: wanted n c and one or more spatial axes")
    if attribute(node, "coordinate_transformation_mode", "") == "tf_crop_and_resize":
        return Refusal(name, "it crops (tf_crop_and_resize)")
    if attribute(node, "keep_aspect_ratio_policy", "stretch") != "stretch":
        return Refusal(name, "keep_aspect_ratio_policy moves the sizes that it is given")
    factors = _factors(node, source, axes)
    if isinstance(factors, str):
        return Refusal(name, factors)
    if any(factor != 1 for factor in factors[:SPATIAL]):
        return Refusal(name, "it resizes the batch or the channels")
    mode = {"bilinear": "linear"}.get(kind := attribute(node, "mode", "nearest"), kind)
    settings = tuple(sorted((name, str(a.value)) for name, a in node.attributes.items()))
    grid = (node.op_type, _is_old(node), settings, _extents(source), factors)
    return Resampling(node, source, mode, factors[SPATIAL:], grid)


def write_nearest(build: Builder, value: ir.Value, factors: Sequence[int], opset: int) -> ir.Value:
    """Nearest resize by whole factors, ``y[q] = x[q // factor]``."""
    scales = np.asarray([1, 1, *factors], np.float32)
    if opset < 9:
        return build.op(
            "Upsample", [value], {"mode": "nearest", "scales": [float(s) for s in scales]}
        )
    if opset < 11:
        kind = "Upsample" if opset == 9 else "Resize"
        return build.op(kind, [value, build.constant(scales)], {"mode": "nearest"})
    return build.op(
        "Resize",
        # Resize-11 and 12 do not allow roi to be left out; it is read for cropping only.
        [
            value,
            build.constant(np.zeros(0, np.float32)) if opset < 13 else None,
            build.constant(scales),
        ],
        {
            "mode": "nearest",
            "coordinate_transformation_mode": "asymmetric",
            "nearest_mode": "floor",
        },
    )


def _factors(node: ir.Node, source: ir.Value, axes: int) -> tuple[Fraction, ...] | str:
    scales, sizes = _scales(node), input_of(node, 3)
    named = [int(a) % axes for a in attribute(node, "axes", range(axes))]
    factors = [Fraction(1)] * axes
    if scales is not None and np.size(scales):
        for axis, scale in zip(named, np.ravel(scales), strict=True):
            factors[axis] = Fraction(float(scale))
        return tuple(factors)
    wanted = constant(sizes)
    if wanted is None:
        return "its scales are not constants: --shape would fix them"
    for axis, size in zip(named, wanted.ravel(), strict=True):
        extent = None if source.shape is None else source.shape[axis]
        if not isinstance(extent, int):
            return f"it goes from {extent} to {size} on axis {axis}: --shape would fix the factor"
        factors[axis] = Fraction(int(size), extent)
    return tuple(factors)


def _extents(source: ir.Value) -> tuple[Any, ...]:
    """The spatial extents; one without a name is equal to no other."""
    dims = () if source.shape is None else source.shape[SPATIAL:]
    return tuple(d if isinstance(d, int) else d.value or source for d in dims)


def _scales(node: ir.Node) -> Any:
    if "scales" in node.attributes:
        return np.asarray(attribute(node, "scales", ()))
    return constant(input_of(node, 1 if len(node.inputs) == 2 else 2))


def _takes_floor(node: ir.Node, factor: int) -> bool:
    """Whether output ``r`` of the first block is input 0, as in every other block."""
    oldest = "asymmetric" if _is_old(node) else "half_pixel"
    rule = attribute(node, "coordinate_transformation_mode", oldest)
    rounding = attribute(node, "nearest_mode", "floor" if _is_old(node) else "round_prefer_floor")
    if rule == "asymmetric":
        places = [Fraction(r, factor) for r in range(factor)]
    elif rule in ("half_pixel", "pytorch_half_pixel", "half_pixel_symmetric"):
        places = [Fraction(2 * r + 1, 2 * factor) - Fraction(1, 2) for r in range(factor)]
    else:
        return factor == 1
    half = Fraction(1, 2)
    rounds = {
        "floor": math.floor,
        "ceil": math.ceil,
        "round_prefer_floor": lambda x: math.ceil(x - half),
        "round_prefer_ceil": lambda x: math.floor(x + half),
    }
    return rounding in rounds and all(rounds[rounding](place) == 0 for place in places)


def _is_old(node: ir.Node) -> bool:
    return node.op_type == "Upsample" or len(node.inputs) == 2
