"""What no pass may change: the interface of the graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeup.errors import EdgeupError

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(frozen=True)
class Interface:
    """Graph inputs and outputs: name, element type, dimensions."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def interface_of(model: ir.Model, declared: Sequence[ir.Shape | None]) -> Interface:
    """The interface as it is now, outputs as they are declared where that still holds.

    Inside, an output keeps the shape that inference found: rules ask for it.
    """
    outputs = zip(model.graph.outputs, declared, strict=True)
    return Interface(
        tuple(_described(value, value.shape) for value in model.graph.inputs),
        tuple(_described(value, _declared(value, shape)) for value, shape in outputs),
    )


def declared_outputs(model: ir.Model) -> list[ir.Shape | None]:
    """The shapes of the graph outputs as they are declared."""
    return [value.shape for value in model.graph.outputs]


def declare_again(model: ir.Model, declared: Sequence[ir.Shape | None]) -> None:
    """Take back what inference wrote over declared output shapes: numbers in place of names."""
    for value, shape in zip(model.graph.outputs, declared, strict=True):
        value.shape = _declared(value, shape)


def _declared(value: ir.Value, shape: ir.Shape | None) -> ir.Shape | None:
    """The declared shape, unless what is known contradicts it."""
    now = value.shape
    if shape is None:
        return None
    if now is None or len(now) != len(shape):
        return now
    fits = (not isinstance(was, int) or was == dim for was, dim in zip(shape, now, strict=True))
    return shape if all(fits) else now


def check_interface(
    before: Interface, model: ir.Model, declared: Sequence[ir.Shape | None], stage: str
) -> None:
    """Fail if a stage changed the interface.

    Raises:
        EdgeupError: it did; this is a bug of the stage, and the model must not be used.
    """
    after = interface_of(model, declared)
    for kind in ("inputs", "outputs"):
        had, has = getattr(before, kind), getattr(after, kind)
        if had != has:
            raise EdgeupError(f"{stage} changed the graph's {kind} from {had} to {has}")


def _described(value: ir.Value, shape: ir.Shape | None) -> str:
    dims = "?" if shape is None else "x".join(str(dim) for dim in shape)
    return f"{value.name}: {value.dtype} {dims}"
