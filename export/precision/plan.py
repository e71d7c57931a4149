"""What a builder is told of precision: a converted graph, or a float32 graph and a list."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WeakTyping:
    """For a builder with precision flags (TensorRT 8 and 9): which layers stay float32.

    The graph is float32. The flag of the precision is set; precision and output types of these
    layers are set to float32; and the builder is told to obey. A layer has its ONNX node's name.
    """

    precision: str
    layers_fp32: tuple[str, ...]


@dataclass(frozen=True)
class PrecisionPlan:
    """How a model comes to its precision.

    Attributes:
        precision: "fp32", "fp16" or "bf16".
        kept: nodes that stay float32, by name, each with its reason.
        converted_graph: the graph's own types are the precision (TensorRT 10 and later, ONNX
            Runtime); otherwise the graph is float32, and ``weak_typing`` says the rest.
    """

    precision: str
    kept: tuple[tuple[str, str], ...] = ()
    converted_graph: bool = True

    @property
    def weak_typing(self) -> WeakTyping | None:
        """What a builder with precision flags is told; None where there is nothing to tell."""
        if self.converted_graph or self.precision == "fp32":
            return None
        return WeakTyping(self.precision, tuple(name for name, _ in self.kept))
