"""Pixel shuffle and unshuffle: one DepthToSpace, or one SpaceToDepth and a Gather.

DepthToSpace's CRD order is PyTorch's. SpaceToDepth has no such attribute: its channel is
(row * r + column) * c + channel, PyTorch's channel * r * r + row * r + column, and a Gather of
the channels turns one into the other. Both operators take n c h w only; PyTorch shuffles the last
three axes of a tensor of any rank, so other ranks are reshaped around them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from edgeup.errors import EdgeupError
from edgeup.export.translations.emit import add_batch, constant, dims, drop_batch, op


def translate_pixel_shuffle(x: ir.Value, upscale_factor: int) -> ir.Value:
    """aten::pixel_shuffle(Tensor self, int upscale_factor): (c r r) h w to c (h r) (w r)."""
    r = upscale_factor
    if r == 1:
        same: ir.Value = op.Identity(x)
        return same

    def shuffle(image: ir.Value) -> ir.Value:
        y: ir.Value = op.DepthToSpace(image, blocksize=r, mode="CRD")
        return y

    c, h, w = _image(x)
    return _as_images(x, shuffle, (_divide(c, r * r), _times(h, r), _times(w, r)))


def translate_pixel_unshuffle(x: ir.Value, downscale_factor: int) -> ir.Value:
    """aten::pixel_unshuffle(Tensor self, int downscale_factor): the inverse of pixel_shuffle."""
    r = downscale_factor
    if r == 1:
        same: ir.Value = op.Identity(x)
        return same
    c, h, w = _image(x)
    if not isinstance(c, int):
        raise EdgeupError(f"pixel_unshuffle of {x.shape} needs a fixed number of channels")
    order = np.arange(r * r * c, dtype=np.int64).reshape(r * r, c).T.flatten()

    def unshuffle(image: ir.Value) -> ir.Value:
        y: ir.Value = op.SpaceToDepth(image, blocksize=r)
        if not np.array_equal(order, np.arange(order.size)):
            y = op.Gather(y, constant(order), axis=1)
        return y

    return _as_images(x, unshuffle, (c * r * r, _divide(h, r), _divide(w, r)))


def _as_images(
    x: ir.Value, shuffle: Callable[[ir.Value], ir.Value], result: Sequence[int | None]
) -> ir.Value:
    """``shuffle`` of the last three axes; ``result`` is their shape afterwards."""
    leading = dims(x)[:-3]
    if len(leading) == 1:
        return shuffle(x)
    if not leading:
        return drop_batch(shuffle(add_batch(x)))
    images = op.Reshape(x, _goal(x, [None, *_image(x)]))
    outer = [d if isinstance(d, int) else None for d in leading]
    restored: ir.Value = op.Reshape(shuffle(images), _goal(x, [*outer, *result]))
    return restored


def _goal(x: ir.Value, shape: Sequence[int | None]) -> ir.Value:
    """A Reshape's target, in which one dimension may be unknown."""
    if sum(d is None for d in shape) > 1:
        raise EdgeupError(
            f"pixel shuffling of {x.shape}, a tensor of {len(dims(x))} axes, allows one "
            f"dynamic dimension; export with a fixed shape"
        )
    return constant(np.array([-1 if d is None else d for d in shape], np.int64))


def _image(x: ir.Value) -> tuple[int | None, int | None, int | None]:
    """The last three dimensions; None where dynamic."""
    c, h, w = (d if isinstance(d, int) else None for d in dims(x)[-3:])
    return c, h, w


def _times(dim: int | None, factor: int) -> int | None:
    return None if dim is None else dim * factor


def _divide(dim: int | None, factor: int) -> int | None:
    return None if dim is None else dim // factor
