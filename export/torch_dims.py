"""Dynamic dimensions: what torch is told of them before tracing, and their names afterwards."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeup.errors import EdgeupError, unknown
from edgeup.spec import TensorSpec

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(frozen=True)
class DynamicDim:
    """What is known of a dynamic dimension.

    ``multiple``: it is always a multiple of this (FastDepth halves five times: 32).
    ``example``: the size to trace with; by default 2 for the first axis, else 64 or the next
    multiple above.
    """

    multiple: int = 1
    example: int | None = None

    def traced_size(self, name: str, axis: int) -> int:
        """The size to trace with.

        Raises:
            EdgeupError: ``multiple`` is not positive, or ``example`` is no such multiple.
        """
        if self.multiple < 1:
            raise EdgeupError(f"dimension {name}: multiple {self.multiple} must be at least 1")
        if self.example is None:
            least = 2 if axis == 0 else 64
            return -(-least // self.multiple) * self.multiple
        if self.example < 1 or self.example % self.multiple:
            raise EdgeupError(
                f"dimension {name}: example size {self.example} is no multiple of {self.multiple}"
            )
        return self.example


_ANY_SIZE = DynamicDim()


class TracedDims:
    """The dynamic dimensions of a set of inputs.

    Raises:
        EdgeupError: a name is no identifier, or ``known`` names a dimension that is in no spec.
    """

    def __init__(self, specs: Sequence[TensorSpec], known: Mapping[str, DynamicDim]) -> None:
        self._specs = specs
        self._used = {
            d: known.get(d, _ANY_SIZE) for s in specs for d in s.shape if isinstance(d, str)
        }
        for name in self._used:
            if not name.isidentifier():
                raise EdgeupError(
                    f"dimension name {name!r} must be letters, digits and underscores, as in height"
                )
        for name in known:
            if name not in self._used:
                raise unknown("dynamic dimension", name, self._used or ["none"])

    def example_shape(self, spec: TensorSpec) -> tuple[int, ...]:
        """The shape to trace with."""
        return tuple(
            d if isinstance(d, int) else self._used[d].traced_size(d, axis)
            for axis, d in enumerate(spec.shape)
        )

    def for_torch(self) -> tuple[dict[int, Any], ...] | None:
        """Per input, axis to ``Dim``; a multiple m is the expression ``m * Dim("name__units")``."""
        if not self._used:
            return None
        from torch.export import Dim

        dims = {
            name: Dim(name) if dim.multiple == 1 else dim.multiple * Dim(f"{name}__units")
            for name, dim in self._used.items()
        }
        return tuple(
            {axis: dims[d] for axis, d in enumerate(spec.shape) if isinstance(d, str)}
            for spec in self._specs
        )

    def restore_names(self, model: ir.Model, specs: Sequence[TensorSpec]) -> None:
        """Call ``32*height__units`` height again, and make sure that nothing became a constant.

        Raises:
            EdgeupError: tracing fixed a dimension that was asked to stay dynamic.
        """
        import onnx_ir as ir

        for value, spec in zip(model.graph.inputs, specs, strict=True):
            for axis, wanted in enumerate(spec.shape):
                got = value.shape[axis] if value.shape is not None else None
                if isinstance(wanted, str) and isinstance(got, int):
                    raise EdgeupError(
                        f"input {spec.name}: dimension {wanted!r} cannot be dynamic, the module's "
                        f"forward fixes it at {got}; give it as a number"
                    )
        for value in (*model.graph.inputs, *model.graph.outputs):
            if value.shape is not None:
                value.shape = ir.Shape(
                    [d if isinstance(d, int) else self._readable(d.value) for d in value.shape]
                )

    def _readable(self, expression: str | None) -> str | None:
        for name, dim in self._used.items():
            if dim.multiple > 1 and expression is not None:
                units = f"{name}__units"
                if expression == f"{dim.multiple}*{units}":
                    return name
                expression = re.sub(rf"\b{units}\b", f"({name}//{dim.multiple})", expression)
        return expression
