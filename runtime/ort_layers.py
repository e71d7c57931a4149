"""What each node takes in ONNX Runtime, by its own profiler."""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeup.errors import EdgeupError
from edgeup.runtime.ort_session import OnnxRuntimeSession
from edgeup.runtime.statistics import Sample
from edgeup.spec import Feeds, ModelSource

_MOST_EVENTS = 900_000
"""ONNX Runtime's profiler drops events beyond a million (core/common/profiler.h)."""

_LEAST_RUNS = 10
_EVENT = "_kernel_time"


@dataclass(frozen=True)
class NodeTimes:
    """A node of the graph that ONNX Runtime made and ran; milliseconds by run."""

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    times: Sample


def profile_nodes(
    model: ModelSource,
    feeds: Feeds,
    *,
    threads: int | None = None,
    warmup_s: float = 0.2,
    duration_s: float = 1.0,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[NodeTimes, ...]:
    """Run for a while under the profiler: what each node took, in the order of execution.

    The clock of the notes counts microseconds, so that of a node that takes less than some ten
    the mean says more than the median; noting itself costs a few microseconds a node.

    Raises:
        EdgeupError: the model cannot be loaded, or does not take the feeds.
    """
    with tempfile.TemporaryDirectory(prefix="edgeup-profile-") as name:
        folder = Path(name)
        with OnnxRuntimeSession(model, threads=threads, profiling=folder) as session:
            graph = _graph(folder / "optimized.onnx")
            run = session.bind(feeds)
            most = max(_LEAST_RUNS, _MOST_EVENTS // (len(graph) + 2))
            begin, warm, runs = clock(), 0, 0
            while runs < most // 2 and (clock() - begin < warmup_s or runs == 0):
                run()
                runs += 1
            warm, begin = runs, clock()
            while runs < most and (clock() - begin < duration_s or runs - warm < _LEAST_RUNS):
                run()
                runs += 1
            notes = session.end_profiling()
        return _node_times(json.loads(notes.read_text(encoding="utf-8")), graph, warm)


def _graph(path: Path) -> Sequence[Any]:
    import onnx

    nodes: Sequence[Any] = onnx.load(str(path), load_external_data=False).graph.node
    return nodes


def _node_times(
    events: Sequence[Mapping[str, Any]], graph: Sequence[Any], warm: int
) -> tuple[NodeTimes, ...]:
    """Events of the graph's own nodes; those of a loop's body are within the loop's.

    A run's events come before the event of the run, ``model_run``.
    """
    nodes = _by_event({str(event.get("name", "")) for event in events}, graph)
    runs: list[dict[str, float]] = [{}]
    for event in events:
        kind, name = event.get("cat"), str(event.get("name", ""))
        if kind == "Session" and name == "model_run":
            runs.append({})
        elif kind == "Node":
            node = name.removesuffix(_EVENT)
            if node in nodes:
                runs[-1][node] = runs[-1].get(node, 0.0) + float(event["dur"]) * 1e-3
    measured = runs[warm:-1]
    if not measured or not measured[0]:
        raise EdgeupError("ONNX Runtime's profiler noted no node: there is nothing to tell apart")
    return tuple(
        NodeTimes(
            name,
            nodes[name].op_type,
            tuple(nodes[name].input),
            tuple(nodes[name].output),
            np.array([one.get(name, 0.0) for one in measured]),
        )
        for name in measured[0]
    )


def _by_event(events: Set[str], graph: Sequence[Any]) -> dict[str, Any]:
    """The graph's nodes by the name that the profiler gives them.

    A node without a name (ONNX Runtime made it of a function's body) is noted as its operator and
    its number, ``Mul_6``; numbers rise in the graph's order.
    """
    nodes = {node.name: node for node in graph if node.name}
    unnamed: dict[str, list[Any]] = defaultdict(list)
    for node in graph:
        if not node.name:
            unnamed[node.op_type].append(node)
    for op, several in unnamed.items():
        found = [match for name in events if (match := re.fullmatch(rf"{op}_(\d+){_EVENT}", name))]
        found = [match for match in found if match[0].removesuffix(_EVENT) not in nodes]
        found.sort(key=lambda match: int(match[1]))
        nodes |= {
            match[0].removesuffix(_EVENT): node for match, node in zip(found, several, strict=False)
        }
    return nodes
