"""Max pooling that TensorRT refuses, and max unpooling by its indices.

::

    x -> MaxPool -> y -> ... -> v -v        becomes        x -> MaxPool -> y -> ... -> v -v
                 -> indices -> MaxUnpool                     -> code (comparisons) -> Equal -> Where

1. The indices lead to unpoolings, as a MaxUnpool or as the scatters that exporters write
   (`index_paths`): `first_maximum` finds each window's tap, and `unpool_windows` puts the values
   back. No index is computed. Any number of unpoolings share one code.
2. The indices are read otherwise, or are a graph output: they are computed, as the code plus the
   index of the window's first tap.
3. Nothing reads the indices: the output is dropped.
4. Dilated windows: the maximum of strided slices, axis by axis.
5. int8 and uint8 are compared as float32, which holds all their numbers.

Equal to ONNX Runtime in every value. Not promised: a window with NaN (ONNX Runtime differs from
itself there, with and without indices), and the place of a maximum that is -infinity where its
window begins in the padding. TensorRT 8.0 pads with zeros only: `padding` joins on what this pads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from edgeup.export.passes.contract import Aim, Candidate, Plan, Refusal
from edgeup.export.passes.facts import constant, dtype_of, in_order, is_onnx, opset_of, static_shape
from edgeup.export.passes.index_paths import Scatter, follow, is_zero
from edgeup.export.passes.max_pool_site import MaxPoolSite
from edgeup.export.passes.pool_windows import Windows, windows_of

if TYPE_CHECKING:
    import onnx_ir as ir

_MOST = 2**31 - 1


class MaxPooling:
    """MaxPool with indices, dilations or integers, and what unpools by the indices."""

    name = "max-pooling"

    def check(self, node: ir.Node, aim: Aim) -> Plan | Refusal | None:
        """Look at a MaxPool; the site goes on from it to the unpoolings."""
        if not aim.is_tensorrt or not is_onnx(node, "MaxPool"):
            return None
        windows = windows_of(node)
        refused = _refused(node, windows)
        if refused is None:
            return None
        if isinstance(windows, str):
            return Refusal(node.name or "", windows)
        if opset_of(node, aim) < 11:
            return Refusal(node.name or "", "Pad and Where as used here need opset 11")
        site = _site(node, windows)
        if isinstance(site, str):
            return Refusal(node.name or "", site)
        return Plan(
            nodes=site.nodes,
            inputs=site.inputs,
            outputs=site.outputs,
            candidates=(Candidate("comparisons", site.build),),
            why=f"{refused}; unpoolings by its indices: {len(site.scatters)}",
            required=True,
        )


def _refused(node: ir.Node, windows: Windows | str) -> str | None:
    """What TensorRT does not take; None where it takes all."""
    if len(node.outputs) > 1:
        return "a MaxPool with indices"
    dtype = dtype_of(node.inputs[0])
    if dtype in (np.int8, np.uint8):
        return f"a MaxPool of {dtype}"
    if isinstance(windows, Windows) and windows.dilated:
        return "a dilated MaxPool"
    return None


def _site(pool: ir.Node, windows: Windows) -> MaxPoolSite | str:
    """All that is replaced, or why it cannot be."""
    paths = follow(pool, windows)
    x, graph = pool.inputs[0], pool.graph
    if paths.reason is not None:
        return paths.reason
    if x is None or x.shape is None or x.dtype is None or graph is None:
        return "the type of its input is not known"
    scatters = {scatter.node: scatter for scatter in paths.scatters}
    members = {pool, *paths.arithmetic, *scatters}
    members |= _zeros(scatters, members)
    nodes = in_order(node for node in members if node.graph is graph)
    made = {value for node in nodes for value in node.outputs}
    outside = dict.fromkeys(
        value
        for node in nodes
        for value in node.inputs
        if value is not None and value not in made and constant(value) is None
    )
    site = MaxPoolSite(
        pool=pool,
        x=x,
        leading=tuple(dim if isinstance(dim, int) else -1 for dim in x.shape[:2]),
        dtype=x.dtype,
        windows=windows,
        scatters=scatters,
        nodes=nodes,
        inputs=tuple(outside),
        outputs=tuple(value for value in _given(nodes) if _leaves(value, members)),
    )
    return _unwritable(site) or site


def _given(nodes: tuple[ir.Node, ...]) -> list[ir.Value]:
    """What the nodes give, first to last."""
    return [value for node in nodes for value in node.outputs]


def _leaves(value: ir.Value, members: set[ir.Node]) -> bool:
    """Whether a value is read outside."""
    return value.is_graph_output() or any(usage.node not in members for usage in value.uses())


def _unwritable(site: MaxPoolSite) -> str | None:
    """Why the site cannot be written; None where it can."""
    shape = static_shape(site.x)
    if site.numbers and shape is None:
        return "its indices are read as numbers, and its batch is not fixed: fix it with --shape"
    counted = math.prod(shape) if site.numbers and shape is not None else site.windows.plane
    if counted > _MOST:
        return f"its indices count {counted} elements, more than an int32 holds"
    if site.leading.count(-1) > 1 and not all(map(site.in_place, site.scatters.values())):
        return (
            "its values are reshaped, and batch and channels are not fixed: fix them with --shape"
        )
    return None


def _zeros(scatters: Mapping[ir.Node, Scatter], members: set[ir.Node]) -> set[ir.Node]:
    """The nodes that only make the zeros into which a scatter writes."""
    found: set[ir.Node] = set()
    for node, scatter in scatters.items():
        value = node.inputs[0]
        while value is not None and value is not scatter.values and is_zero(value):
            maker = value.producer()
            if maker is None or constant(value) is not None or _leaves(value, members | found):
                break
            if maker.graph is not node.graph:
                break
            found.add(maker)
            value = maker.inputs[0]
    return found
