"""Make the ONNX Runtime entry of edgeup/data/efficiency.json: how fast each kind of node is here.

    python tools/calibrate_estimate.py [--dry-run]

Models of one node each are timed on one thread, in turn with their neighbours. Per kind, the times
are fitted with ``a macs + b bytes`` (least squares of the relative error, no negative speeds); the
first quartile of a model's times counts, since what disturbs a run only ever slows it. The other
backends' entries, which no machine here can measure, are kept as they are.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper

from edgeup.export.passes.estimate import KINDS, kind_of, work_of
from edgeup.files import write_all
from edgeup.runtime.cpu import cpu_model
from edgeup.runtime.ort_session import OnnxRuntimeSession
from edgeup.runtime.timer import Budget, measure

GOAL = Path(__file__).parents[1] / "edgeup" / "data" / "efficiency.json"
BUDGET = Budget(warmup_s=0.05, warmup_limit_s=0.3, duration_s=0.15, min_rounds=11, max_rounds=40)
TOGETHER = 8
CHANNEL_BLOCK = 16
"""ONNX Runtime on AVX-512 computes dense outputs in blocks of 16 channels (NCHWc)."""
NODE_US = 5.0
# Extent, input channels, output channels: a decoder's stages, then narrow ones, then a head.
STAGES = (
    *((7, 1024, 512), (14, 512, 256), (28, 256, 128), (56, 128, 64), (112, 64, 32)),
    *((7, 64, 64), (14, 64, 64), (28, 64, 64), (56, 32, 32), (112, 32, 16), (224, 16, 16)),
    *((14, 256, 128), (28, 128, 16), (112, 32, 1)),
)
KERNELS = ((1, 1), (2, 2), (2, 3), (3, 3), (5, 5))
MOST_MACS = 7e8


@dataclass(frozen=True)
class Case:
    """A model of one node, its input, and the numbers that the estimate knows of it."""

    name: str
    kind: str
    model: bytes
    x: np.ndarray[Any, Any]
    macs: int
    moved: int


def case(op: str, shape: tuple[int, ...], constants: list[Any], **attributes: Any) -> Case:
    """One node on ``x`` and constants (None: left out)."""
    random = np.random.default_rng(0)
    held = {f"c{i}": np.asarray(c) for i, c in enumerate(constants) if c is not None}
    inputs = ["x", *("" if c is None else f"c{i}" for i, c in enumerate(constants))]
    if op == "Concat":
        inputs = ["x"] * 4
    graph = helper.make_graph(
        [helper.make_node(op, inputs, ["y"], **attributes)],
        "case",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in held.items()],
    )
    proto = onnx.shape_inference.infer_shapes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    )
    node = ir.from_proto(proto).graph[0]
    kind, work = kind_of(node), work_of(node, CHANNEL_BLOCK)
    assert kind is not None
    assert work is not None
    words = [op, *map(str, shape), *(str(c.shape) for c in held.values()), str(attributes)]
    x = random.standard_normal(shape).astype(np.float32)
    return Case(" ".join(words), kind, proto.SerializeToString(), x, *work)


def cases() -> Iterator[Case]:
    """Every operator at every stage."""
    for extent, channels, out in STAGES:
        shape = (1, channels, extent, extent)
        for kernel in KERNELS:
            pads = [(k - 1) // 2 for k in kernel] + [k // 2 for k in kernel]
            if channels * out * np.prod(kernel) * extent**2 < MOST_MACS:
                yield case("Conv", shape, [weights(out, channels, *kernel)], pads=pads)
            if kernel != (1, 1):
                depthwise = weights(channels, 1, *kernel)
                yield case("Conv", shape, [depthwise], pads=pads, group=channels)
        for k in (2, 3, 4, 5):
            yield from transposed(shape, channels, out, k)
        quad = (1, 4 * out, extent, extent)
        for mode in ("DCR", "CRD"):
            yield case("DepthToSpace", quad, [], blocksize=2, mode=mode)
        woven = (1, out, 2, 2, extent, extent)
        yield case("Transpose", woven, [], perm=[0, 1, 4, 2, 5, 3])
        yield case("Concat", shape, [], axis=1)
        scales = np.array([1, 1, 2, 2], np.float32)
        for mode, rule in (("nearest", "asymmetric"), ("linear", "half_pixel")):
            rules = {"coordinate_transformation_mode": rule, "nearest_mode": "floor"}
            yield case("Resize", shape, [None, scales], mode=mode, **rules)
        yield case("Relu", shape, [])


def transposed(shape: tuple[int, ...], channels: int, out: int, k: int) -> Iterator[Case]:
    """Transposed convolutions of stride 2, dense and depthwise."""
    pad = (k - 1) // 2
    rules = {"strides": [2, 2], "pads": [pad] * 4, "output_padding": [2 + 2 * pad - k] * 2}
    if channels * out * k * k * shape[2] ** 2 < MOST_MACS:
        yield case("ConvTranspose", shape, [weights(channels, out, k, k)], **rules)
    if channels * shape[2] ** 2 <= 256 * 28**2:
        yield case("ConvTranspose", shape, [weights(channels, 1, k, k)], group=channels, **rules)


def weights(*shape: int) -> np.ndarray[Any, Any]:
    """Random weights."""
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def times_of(group: list[Case]) -> dict[str, float]:
    """Milliseconds of each case."""
    with ExitStack() as stack:
        works = {
            one.name: stack.enter_context(
                OnnxRuntimeSession(one.model, threads=1, yield_cores=True)
            ).bind({"x": one.x})
            for one in group
        }
        return {name: float(np.quantile(t, 0.25)) for name, t in measure(works, BUDGET).items()}


def fit(kind: str, group: list[Case], times: dict[str, float]) -> dict[str, float | None]:
    """Speeds by least squares of the relative error."""
    wanted = np.array([times[one.name] for one in group])
    left = wanted - NODE_US * 1e-3
    columns = np.array([[one.macs * 1e-6, one.moved * 1e-6] for one in group])
    used = [i for i in range(2) if columns[:, i].any()]
    while True:
        scaled = columns[:, used] / wanted[:, None]
        found = np.linalg.lstsq(scaled, left / wanted, rcond=None)[0]
        if (found > 0).all():
            break
        used = [i for i, n in zip(used, found, strict=True) if n > 0]
    predicted = columns[:, used] @ found + NODE_US * 1e-3
    off = np.abs(np.log2(predicted / wanted))
    speeds: list[float | None] = [None, None]
    for i, slowness in zip(used, found, strict=True):
        speeds[i] = float(f"{1 / slowness:.3g}")
    print(
        f"{kind:22s} {len(group):3d} cases  GMAC/s {speeds[0]}  GB/s {speeds[1]}  "
        f"off by {2 ** np.median(off):.2f} in the median, {2 ** off.max():.2f} at most"
    )
    return {"gmacs_per_s": speeds[0], "gbytes_per_s": speeds[1]}


def main() -> None:
    """Measure, fit, print, and write the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dry-run", action="store_true", help="print, and write nothing")
    options = parser.parse_args()
    every = {one.name: one for one in cases()}
    listed = list(every.values())
    times: dict[str, float] = {}
    for begin in range(0, len(listed), TOGETHER):
        times |= times_of(listed[begin : begin + TOGETHER])
    by_kind: dict[str, list[Case]] = defaultdict(list)
    for one in listed:
        by_kind[one.kind].append(one)
    versions = " ".join(f"{name} {version(name)}" for name in ("onnxruntime", "numpy"))
    entry = {
        "backend": "onnxruntime",
        "measured": True,
        "source": f"tools/calibrate_estimate.py on {cpu_model()}, one thread, {versions}",
        "node_us": NODE_US,
        "channel_block": CHANNEL_BLOCK,
        "kinds": {kind: fit(kind, by_kind[kind], times) for kind in KINDS},
    }
    document = json.loads(GOAL.read_text(encoding="utf-8"))
    rest = [other for other in document["backends"] if other["backend"] != entry["backend"]]
    document["backends"] = [entry, *rest]
    if not options.dry_run:
        write_all({GOAL: (json.dumps(document, indent=2) + "\n").encode()})


if __name__ == "__main__":
    main()
