"""Make edgeup/data/upsamplers.json: what each upsampling method costs, and its ONNX operators.

    python tools/make_upsamplers.py

Each canonical example of ``edgeup.models.upsampling.catalog`` is built with random weights,
exported, compared with PyTorch in ONNX Runtime and counted; a failed comparison writes nothing.
Unpooling by indices is exported together with the pooling that makes its indices.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from edgeup.export.cost import macs as graph_macs
from edgeup.export.cost import nodes_by_operator
from edgeup.export.to_onnx import to_onnx
from edgeup.files import write_all
from edgeup.models.cost import macs, parameters
from edgeup.models.initialise import initialise
from edgeup.models.run import run_module
from edgeup.models.upsampling.catalog import UPSAMPLERS, Block, Upsampler
from edgeup.runtime.inputs import Case, test_inputs
from edgeup.runtime.ort_session import OnnxRuntimeSession
from edgeup.runtime.parity import FP32_TOLERANCE, OutputParity, run_parity
from edgeup.spec import Feeds, Outputs, TensorSpec

GOAL = Path(__file__).parents[1] / "edgeup" / "data" / "upsamplers.json"
OPSET = 20
SEED = 0
MADE_WITH = ("torch", "onnx", "onnx-ir", "onnxscript", "onnxsim", "onnxruntime")
DEFINITIONS = {
    "macs_per_pixel": (
        "dense multiply-accumulates of convolutions, as the module is written, for one run at "
        "input_shape, divided by the pixels of output_shape: all of its axes but the channels"
    ),
    "operators": "nodes by type as exported; a target's own rewrites come after",
    "parameters": "learned numbers; frozen interpolation kernels are not among them",
}


@dataclass(frozen=True)
class Measured:
    """One method: its row of the file, and what ONNX Runtime and PyTorch differ by."""

    row: dict[str, Any]
    parity: OutputParity


class PooledAndUnpooled(nn.Module):
    """A pooling and the unpooling by its indices, as they meet in a network."""

    def __init__(self, pool: Block, unpool: Block) -> None:
        super().__init__()
        self.pool, self.unpool = pool.build(), unpool.build()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keep of ``x`` what the pooling chose, where it chose it."""
        y: torch.Tensor = self.unpool(*self.pool(x))
        return y


def measure(method: Upsampler) -> Measured:
    """Build, export, compare and count one method."""
    spec = TensorSpec("x", method.input_shape)
    module = (
        method.block.build()
        if method.indices_from is None
        else PooledAndUnpooled(method.indices_from, method.block)
    )
    initialise(module, SEED, [torch.empty(method.input_shape)])
    exported = to_onnx(module, [spec], opset=OPSET, output_names=["y"])
    (output,) = exported.facts.outputs
    count = macs(module, [spec])
    if graph_macs(exported.model).total != count:
        raise SystemExit(f"{method.name}: the graph has other MACs than the module's {count}")
    row = {
        "input_shape": list(method.input_shape),
        "output_shape": list(output.static_shape),
        "parameters": parameters(module),
        "macs_per_pixel": _per_pixel(count, output.static_shape),
        "operators": nodes_by_operator(exported.model),
    }
    return Measured(row, _parity(module, exported.content, spec))


def _per_pixel(count: int, shape: tuple[int, ...]) -> int | float:
    batch, _, *spatial = shape
    share = count / (batch * math.prod(spatial))
    return int(share) if share.is_integer() else round(share, 3)


def _parity(module: nn.Module, content: bytes, spec: TensorSpec) -> OutputParity:
    def in_pytorch(feeds: Feeds) -> Outputs:
        return {"y": run_module(module, [feeds[spec.name]])[0]}

    # From 0..1 to -0.5..0.5: signs matter to ELU and to switches, which go by magnitude.
    cases = [
        Case(case.kind, {"x": case.feeds["x"] - np.float32(0.5)})
        for case in test_inputs([spec], SEED)
    ]
    with OnnxRuntimeSession(content, optimize=False) as session:
        (parity,) = run_parity(in_pytorch, session.run, cases, FP32_TOLERANCE)
    return parity


def main() -> None:
    """Measure every method and write the file."""
    rows = {}
    for name, method in UPSAMPLERS.items():
        measured = measure(method)
        print(f"{name}: {measured.row['operators']}, max_abs {measured.parity.metrics['max_abs']}")
        if not measured.parity.passed:
            raise SystemExit(f"{name}: ONNX Runtime and PyTorch differ; nothing was written")
        rows[name] = measured.row
    made_with: dict[str, Any] = {package: version(package) for package in MADE_WITH}
    document = {
        "definitions": DEFINITIONS,
        "made_with": {**made_with, "opset": OPSET},
        "upsamplers": rows,
    }
    write_all({GOAL: (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()})


if __name__ == "__main__":
    main()
