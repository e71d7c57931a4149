"""What to build: the options that TensorRT's Python bindings and trtexec share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Shape = tuple[int, ...]
Verbosity = Literal["layer_names_only", "detailed", "none"]
Compatibility = Literal["ampere+", "sameComputeCapability"]


@dataclass(frozen=True)
class ShapeRange:
    """The shapes that an engine takes at one input; it is fastest at ``usual``."""

    name: str
    least: Shape
    usual: Shape
    most: Shape


@dataclass(frozen=True)
class BuildOptions:
    """How to build an engine.

    Attributes:
        strongly_typed: the graph's types hold (TensorRT 10 and newer, TensorRT for RTX). Without
            it types are weak: fp32, and fp16 where that is faster, if ``fp16`` allows it.
        fp16: under weak typing, fp16 may be used.
        keep_fp32: under weak typing with ``fp16``, names of ONNX nodes that stay in fp32.
        tf32: fp32 convolutions and products may be computed in TF32 (10 bits of mantissa, from
            compute capability 8.0), as TensorRT does by default.
        workspace: bytes of scratch memory; None leaves TensorRT's default.
        shapes: for inputs with dynamic dimensions.
        compute_capabilities: TensorRT for RTX: the GPUs to build for ("8.6").
    """

    strongly_typed: bool
    fp16: bool = False
    keep_fp32: tuple[str, ...] = ()
    tf32: bool = True
    workspace: int | None = None
    optimization_level: int | None = None
    version_compatible: bool = False
    hardware_compatibility: Compatibility | None = None
    dla_core: int | None = None
    gpu_fallback: bool = False
    shapes: tuple[ShapeRange, ...] = ()
    sparse_weights: bool = False
    profiling_verbosity: Verbosity = "detailed"
    compute_capabilities: tuple[str, ...] = ()

    @property
    def portable(self) -> bool:
        """Whether the engine is to load on other versions or GPUs."""
        return self.version_compatible or self.hardware_compatibility is not None

    def to_json(self) -> dict[str, Any]:
        """The options, as a report and a sidecar hold them."""
        return {
            "strongly_typed": self.strongly_typed,
            "fp16_flag": self.fp16,
            "keep_fp32": list(self.keep_fp32),
            "tf32": self.tf32,
            "workspace_bytes": self.workspace,
            "builder_optimization_level": self.optimization_level,
            "version_compatible": self.version_compatible,
            "hardware_compatibility": self.hardware_compatibility,
            "dla_core": self.dla_core,
            "gpu_fallback": self.gpu_fallback,
            "shapes": {
                r.name: {"min": list(r.least), "opt": list(r.usual), "max": list(r.most)}
                for r in self.shapes
            },
            "sparse_weights": self.sparse_weights,
            "profiling_verbosity": self.profiling_verbosity,
            "compute_capabilities": list(self.compute_capabilities),
        }


@dataclass(frozen=True)
class BuildError:
    """Why no engine came out: the parser's reason with its node, or the builder's own words."""

    stage: Literal["parser", "builder"]
    reason: str
    node: str = ""
    op: str = ""
    code: str = ""

    def to_json(self) -> dict[str, str]:
        """The fields, as a report holds them."""
        return {
            "stage": self.stage,
            "node": self.node,
            "op": self.op,
            "code": self.code,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Built:
    """What a build gave.

    Attributes:
        tensorrt: the version that built, as it tells it.
        engine: the serialized engine; None where the build failed, and ``errors`` say why.
        layers: the inspector's JSON; None where it cannot be had, and ``unread`` says why.
        warnings: what TensorRT warned of, oldest first.
        timings: the timing cache after the build; empty without one.
        notes: what the user should know, in edgeup's words.
    """

    tensorrt: str
    engine: bytes | None
    errors: tuple[BuildError, ...] = ()
    layers: str | None = None
    unread: str = ""
    warnings: tuple[str, ...] = ()
    timings: bytes = b""
    notes: tuple[str, ...] = ()
