"""The table that ``torch.onnx.export(dynamo=True, custom_translation_table=...)`` takes.

An operator that is in the table is also kept whole: the exporter decomposes only what it has no
translation for. `F.interpolate` arrives as the ``vec`` overloads (sizes or factors), a program
that was already decomposed as the ``default`` ones (sizes, and the factors one by one); of
bilinear and bicubic, PyTorch decomposes the latter before any table is asked.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import onnx_ir as ir
import torch

from edgeup.export.translations import linear, nearest
from edgeup.export.translations.area import translate_adaptive_avg_pool
from edgeup.export.translations.avg_pool import translate_avg_pool
from edgeup.export.translations.axes import Size
from edgeup.export.translations.max_pool import translate_max_pool
from edgeup.export.translations.max_unpool import translate_max_unpool
from edgeup.export.translations.pixel_shuffle import (
    translate_pixel_shuffle,
    translate_pixel_unshuffle,
)
from edgeup.export.translations.squeeze import translate_squeeze


def _nearest_default(translate: nearest.Translation) -> Callable[..., ir.Value]:
    def resample(x: ir.Value, sizes: Sequence[Size], *factors: float | None) -> ir.Value:
        return translate(x, sizes, _all_or_none(x, factors))

    return resample


def _linear_default(translate: linear.Translation) -> Callable[..., ir.Value]:
    def resample(
        x: ir.Value, sizes: Sequence[Size], align_corners: bool, *factors: float | None
    ) -> ir.Value:
        return translate(x, sizes, align_corners, _all_or_none(x, factors))

    return resample


def _all_or_none(x: ir.Value, factors: Sequence[float | None]) -> list[float | None]:
    """One factor per spatial axis; those left out are None."""
    rank = len(x.shape or ()) - 2
    return [*factors, *[None] * (rank - len(factors))]


_LINEAR = linear.translate(linear.LINEAR)
_CUBIC = linear.translate(linear.CUBIC)
_LINEAR_ANTIALIAS = linear.translate(linear.LINEAR_ANTIALIAS)
_CUBIC_ANTIALIAS = linear.translate(linear.CUBIC_ANTIALIAS)
_LANCZOS_ANTIALIAS = linear.translate(linear.LANCZOS_ANTIALIAS)
_NEAREST = nearest.translate_nearest
_EXACT = nearest.translate_nearest_exact

_TABLE: tuple[tuple[str, str, Callable[..., Any]], ...] = (
    ("upsample_nearest1d", "vec", _NEAREST),
    ("upsample_nearest2d", "vec", _NEAREST),
    ("upsample_nearest3d", "vec", _NEAREST),
    ("upsample_nearest1d", "default", _nearest_default(_NEAREST)),
    ("upsample_nearest2d", "default", _nearest_default(_NEAREST)),
    ("upsample_nearest3d", "default", _nearest_default(_NEAREST)),
    ("_upsample_nearest_exact1d", "vec", _EXACT),
    ("_upsample_nearest_exact2d", "vec", _EXACT),
    ("_upsample_nearest_exact3d", "vec", _EXACT),
    ("_upsample_nearest_exact1d", "default", _nearest_default(_EXACT)),
    ("_upsample_nearest_exact2d", "default", _nearest_default(_EXACT)),
    ("_upsample_nearest_exact3d", "default", _nearest_default(_EXACT)),
    ("upsample_linear1d", "vec", _LINEAR),
    ("upsample_bilinear2d", "vec", _LINEAR),
    ("upsample_trilinear3d", "vec", _LINEAR),
    ("upsample_linear1d", "default", _linear_default(_LINEAR)),
    ("upsample_trilinear3d", "default", _linear_default(_LINEAR)),
    ("upsample_bicubic2d", "vec", _CUBIC),
    ("_upsample_bilinear2d_aa", "vec", _LINEAR_ANTIALIAS),
    ("_upsample_bilinear2d_aa", "default", _linear_default(_LINEAR_ANTIALIAS)),
    ("_upsample_bicubic2d_aa", "vec", _CUBIC_ANTIALIAS),
    ("_upsample_bicubic2d_aa", "default", _linear_default(_CUBIC_ANTIALIAS)),
    # Lanczos came with PyTorch 2.13.
    ("_upsample_lanczos2d_aa", "vec", _LANCZOS_ANTIALIAS),
    ("_upsample_lanczos2d_aa", "default", _linear_default(_LANCZOS_ANTIALIAS)),
    ("adaptive_avg_pool1d", "default", translate_adaptive_avg_pool(1)),
    ("adaptive_avg_pool2d", "default", translate_adaptive_avg_pool(2)),
    ("adaptive_avg_pool3d", "default", translate_adaptive_avg_pool(3)),
    # What the two above become in a program that was already decomposed.
    ("_adaptive_avg_pool2d", "default", translate_adaptive_avg_pool(2)),
    ("_adaptive_avg_pool3d", "default", translate_adaptive_avg_pool(3)),
    ("avg_pool2d", "default", translate_avg_pool(2)),
    ("avg_pool3d", "default", translate_avg_pool(3)),
    ("max_pool1d_with_indices", "default", translate_max_pool(1)),
    ("max_pool2d_with_indices", "default", translate_max_pool(2)),
    ("max_pool3d_with_indices", "default", translate_max_pool(3)),
    ("max_unpool2d", "default", translate_max_unpool(2)),
    ("max_unpool3d", "default", translate_max_unpool(3)),
    ("squeeze", "dim", translate_squeeze),
    ("pixel_shuffle", "default", translate_pixel_shuffle),
    ("pixel_unshuffle", "default", translate_pixel_unshuffle),
)


def translation_table() -> dict[Callable[..., Any], Callable[..., Any]]:
    """Aten overloads and their translations, those that the installed PyTorch has."""
    table: dict[Callable[..., Any], Callable[..., Any]] = {}
    for name, overload, translate in _TABLE:
        operator = getattr(getattr(torch.ops.aten, name, None), overload, None)
        if operator is not None:
            table[operator] = _without_signature(translate)
    return table


def _without_signature(translate: Callable[..., Any]) -> Callable[..., Any]:
    """A translation that declares no parameters.

    The exporter reads parameters as those of an ONNX function and warns at types it does not
    know; its older versions also refuse a translation whose parameters have not aten's names.
    """

    def call(*args: Any, **kwargs: Any) -> Any:
        return translate(*args, **kwargs)

    call.__name__ = translate.__name__
    call.__signature__ = inspect.Signature()  # type: ignore[attr-defined]  # inspect's own protocol
    return call
