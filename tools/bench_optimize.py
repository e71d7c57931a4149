"""Time of the passes on large graphs: linear in the nodes, or something is wrong.

    python tools/bench_optimize.py [--nodes 1000 10000] [--profile] [--json FILE]

Graphs are generated: blocks of about 10 nodes, small maps, with sites for the rules in half of
them (nearest resize + ReLU + two 5x5 convolutions, one with a Pad; a resize between equal sizes;
Concat of a resized map and another, then convolution) and none in the other half. Sizes take
turns; the round with the least CPU time counts, which leaves out waiting for a core. From 1,000 to
10,000 nodes time may grow 12 times.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeup.export.optimize import Optimized, optimize
from edgeup.export.passes.choose import static_choice
from edgeup.export.passes.estimate import efficiency_for
from edgeup.pipeline.verified import aim_at
from edgeup.targets import find_target

if TYPE_CHECKING:
    import onnx_ir as ir

GROWTH = 1.2
"""How much more than in proportion to the nodes time may grow."""

NODES_PER_BLOCK = 10
CHANNELS, SIDE = 4, 8


def graph_of(nodes: int) -> ir.Model:
    """A chain of blocks with about so many nodes."""
    import onnx
    import onnx_ir as ir
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    made: list[onnx.NodeProto] = []
    constants: dict[str, np.ndarray] = {
        "by_2": np.array([1, 1, 2, 2], np.float32),
        "edges": np.array([0, 0, 1, 1, 0, 0, -1, -1]),
        "by_1": np.array([1, 1, 1, 1], np.float32),
    }

    def op(kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind}_{len(made)}"
        made.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def conv(x: str, into: int, kernel: int, **attributes: Any) -> str:
        weight, pad = f"weight_{len(made)}", kernel // 2
        shape = (CHANNELS, into, kernel, kernel)
        constants[weight] = random.standard_normal(shape).astype(np.float32) / shape[1]
        return op("Conv", x, weight, pads=[pad] * 4, **attributes)

    def nearest(x: str, scales: str) -> str:
        return op(
            *("Resize", x, "", scales),
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )

    def with_sites(x: str) -> str:
        seen = op("Relu", nearest(x, "by_2"))
        big = op("Add", conv(op("Pad", seen, "edges"), CHANNELS, 5), conv(seen, CHANNELS, 5))
        small = op("Relu", conv(nearest(big, "by_1"), CHANNELS, 3, strides=[2, 2]))
        joined = op("Concat", nearest(small, "by_2"), op("Sigmoid", big), axis=1)
        return conv(joined, 2 * CHANNELS, 3, strides=[2, 2])

    def without(x: str) -> str:
        for _ in range(3):
            x = op("Add", op("Relu", conv(x, CHANNELS, 3)), x)
        return op("MaxPool", x, kernel_shape=[1, 1])

    x = "x"
    for block in range(nodes // NODES_PER_BLOCK):
        x = (with_sites if block % 2 else without)(x)
    shape = [1, CHANNELS, SIDE, SIDE]
    graph = helper.make_graph(
        made,
        "generated",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    imports = [helper.make_opsetid("", 17)]
    return ir.from_proto(helper.make_model(graph, opset_imports=imports, ir_version=8))


def passes_on(model: ir.Model) -> Optimized:
    """All passes, forms by the static estimate."""
    aim = aim_at(find_target("cpu"), 17)
    return optimize(model, aim, static_choice(efficiency_for(aim)))


def main() -> None:
    """Time the sizes in turn and print the growth."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, nargs=2, default=[1000, 10000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", action="store_true", help="where the larger one's time goes")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    models = {nodes: graph_of(nodes) for nodes in options.nodes}
    passes_on(graph_of(20))  # imports and registries
    best = dict.fromkeys(models, float("inf"))
    for _ in range(options.rounds):
        for nodes, model in models.items():
            began = time.process_time()
            done = passes_on(model)
            best[nodes] = min(best[nodes], time.process_time() - began)
            assert done.rewritten, "a benchmark without rewrites measures nothing"
            print(f"{nodes:6} nodes: {len(done.rewritten):5} of {len(done.sites)} sites rewritten")
    small, large = options.nodes
    growth, limit = best[large] / best[small], GROWTH * large / small
    for nodes, seconds in best.items():
        print(f"{nodes:6} nodes: {seconds:7.2f} s, {seconds / nodes * 1e3:.2f} ms per node")
    print(f"grew {growth:.1f} times, at most {limit:.0f}: {'ok' if growth <= limit else 'FAILED'}")
    if options.json:
        result = {"seconds": best, "growth": growth, "limit": limit}
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    if options.profile:
        profiler = cProfile.Profile()
        profiler.runcall(passes_on, models[large])
        pstats.Stats(profiler).sort_stats("cumulative").print_stats(45)
    if growth > limit:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
