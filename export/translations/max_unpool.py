"""Max unpooling: one MaxUnpool.

    MaxPool -> Mod -> indices -> ... -> scatter        becomes        MaxPool ----> MaxUnpool
                                                                         (indices)

Where the indices come from a max pooling of the graph whose input had the size of this output,
its own indices are taken, from before the conversion to PyTorch's. Otherwise the number of the
plane is added back: index + plane * (h * w).

max_unpool1d arrives as a 2-D one with a last axis of length 1, between an unsqueeze and a squeeze.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from edgeup.export.translations.axes import Size, has_static_batch, shape_input
from edgeup.export.translations.emit import add_batch, batched, constant, describe, dims, op

Unpooling = Callable[..., ir.Value]


def translate_max_unpool(spatial: int) -> Unpooling:
    """aten::max_unpool{2,3}d(Tensor self, Tensor indices, SymInt[] output_size, ...) -> Tensor."""

    def unpool(
        x: ir.Value,
        indices: ir.Value,
        output_size: Sequence[Size],
        stride: Sequence[int] = (),
        padding: Sequence[int] = (),
    ) -> ir.Value:
        del stride, padding  # PyTorch only checks the output size with them
        pool = _source(indices)
        leading = dims(x)[:-spatial]
        if pool is not None and _fits(pool, leading, output_size):
            return batched(x, spatial, lambda b: _unpool(b, pool.outputs[1], output_size, pool))
        line = output_size[-1] == 1
        if pool is not None and line and _fits(pool, leading, output_size[:-1]):
            return _unpool_line(x, pool, output_size[:-1])
        if len(dims(x)) == spatial + 1:
            indices = add_batch(indices)
        return batched(
            x, spatial, lambda b: _unpool(b, _flat(b, indices, output_size), output_size, None)
        )

    return unpool


def _unpool_line(x: ir.Value, pool: ir.Node, output_size: Sequence[Size]) -> ir.Value:
    """The 1-D unpooling within a 2-D one on (n) c l 1."""
    last = constant(np.array([-1], np.int64))
    producer = x.producer()
    added = producer is not None and producer.op_type == "Unsqueeze"
    line = producer.inputs[0] if producer is not None and added else None
    if line is None or len(dims(line)) != len(dims(x)) - 1:
        line = describe(op.Squeeze(x, last), dims(x)[:-1], x)
    unpooled = batched(line, 1, lambda b: _unpool(b, pool.outputs[1], output_size, pool))
    plane: ir.Value = op.Unsqueeze(unpooled, last)
    return plane


def _unpool(
    x: ir.Value, indices: ir.Value, output_size: Sequence[Size], pool: ir.Node | None
) -> ir.Value:
    window = _window(pool, len(output_size))
    unpooled: ir.Value = op.MaxUnpool(x, indices, shape_input(x, output_size), **window)
    return unpooled


def _window(pool: ir.Node | None, rank: int) -> dict[str, list[int]]:
    """MaxUnpool's attributes; a runtime infers from them the least output shape, nothing more."""
    if pool is not None:
        given = {name: attribute.value for name, attribute in pool.attributes.items()}
        if not given.get("ceil_mode") and all(d == 1 for d in given.get("dilations") or [1]):
            return {name: list(given[name]) for name in ("kernel_shape", "strides", "pads")}
    return {"kernel_shape": [1] * rank, "strides": [1] * rank, "pads": [0] * 2 * rank}


def _source(indices: ir.Value) -> ir.Node | None:
    """The MaxPool that made the indices, seen through their conversion to PyTorch's."""
    value: ir.Value | None = indices
    while value is not None:
        node = value.producer()
        if node is None:
            return None
        if node.op_type == "MaxPool":
            return node if value is node.outputs[1] else None
        if node.op_type == "Mod" and not _is_conversion(node):
            return None
        if node.op_type not in ("Mod", "Squeeze", "Unsqueeze"):
            return None
        value = node.inputs[0]
    return None


def _is_conversion(mod: ir.Node) -> bool:
    """Whether a Mod divides a MaxPool's indices by the size of its plane, and nothing else."""
    indices, plane = mod.inputs
    pool = None if indices is None else indices.producer()
    if pool is None or pool.op_type != "MaxPool" or pool.inputs[0] is None or plane is None:
        return False
    divisor = ir.convenience.get_const_tensor(plane)
    lengths = [d for d in dims(pool.inputs[0])[2:] if isinstance(d, int)]
    if divisor is None or len(lengths) < len(dims(pool.inputs[0])) - 2:
        maker = plane.producer()
        return maker is not None and maker.op_type == "ReduceProd"
    return int(divisor.numpy()) == math.prod(lengths)


def _fits(
    pool: ir.Node, leading: Sequence[int | ir.SymbolicDim], output_size: Sequence[Size]
) -> bool:
    """Whether the pooled tensor had the shape (n) c *output_size, by number or by symbol."""
    pooled = pool.inputs[0]
    if pooled is None or len(dims(pooled)) != len(output_size) + 2:
        return False
    n, c, *lengths = dims(pooled)
    return list(leading) in ([n, c], [c]) and all(
        _dimension(size) == length for size, length in zip(output_size, lengths, strict=True)
    )


def _dimension(size: Size) -> int | ir.SymbolicDim | None:
    """A size as a dimension: where it was read off a tensor's shape, that tensor's."""
    if isinstance(size, int):
        return size
    squeeze = size.producer()
    source = squeeze.inputs[0] if squeeze is not None and squeeze.op_type == "Squeeze" else None
    shape = None if source is None else source.producer()
    if shape is None or shape.op_type != "Shape" or "start" not in shape.attributes:
        return None
    measured = shape.inputs[0]
    return None if measured is None else dims(measured)[shape.attributes["start"].as_int()]


def _flat(x: ir.Value, indices: ir.Value, output_size: Sequence[Size]) -> ir.Value:
    """Indices within a plane as indices through the whole output."""
    spatial = len(output_size)
    numbers = [size for size in output_size if isinstance(size, int)]
    if has_static_batch(x) and len(numbers) == spatial:
        n, c = (d for d in dims(x)[:2] if isinstance(d, int))
        planes = np.arange(n * c, dtype=np.int64).reshape(n, c, *[1] * spatial)
        flat: ir.Value = op.Add(indices, constant(planes * math.prod(numbers)))
        return flat
    batch = op.Shape(x, start=0, end=2)
    total = op.ReduceProd(shape_input(x, output_size), keepdims=0)
    plane = op.Div(total, op.ReduceProd(batch, keepdims=0))
    starts = op.Range(constant(np.array(0, np.int64)), total, plane)
    ones = constant(np.ones(spatial, np.int64))
    flat = op.Add(indices, op.Reshape(starts, op.Concat(batch, ones, axis=0)))
    return flat
