"""What no pass may change: the interface of the graph."""

from __future__ import annotations

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


def interface_of(model: ir.Model) -> Interface:
    """The interface as it is now."""
    return Interface(
        tuple(_described(value) for value in model.graph.inputs),
        tuple(_described(value) for value in model.graph.outputs),
    )


def check_interface(before: Interface, model: ir.Model, stage: str) -> None:
    """Fail if a stage changed the interface.

    Raises:
        EdgeupError: it did; this is a bug of the stage, and the model must not be used.
    """
    after = interface_of(model)
    for kind in ("inputs", "outputs"):
        had, has = getattr(before, kind), getattr(after, kind)
        if had != has:
            raise EdgeupError(f"{stage} changed the graph's {kind} from {had} to {has}")


def _described(value: ir.Value) -> str:
    dims = "?" if value.shape is None else "x".join(str(dim) for dim in value.shape)
    return f"{value.name}: {value.dtype} {dims}"
