"""Resize and Upsample, by version; the facts are the passes' (`passes.trt_resize`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeup.export.capability.contract import Fault, Rule, Verdict
from edgeup.export.capability.known import is_weights
from edgeup.export.capability.versions.sources import importer
from edgeup.export.passes.contract import Refusal
from edgeup.export.passes.facts import attribute, input_of, rank, static_shape
from edgeup.export.passes.resize_axes import read_resize
from edgeup.export.passes.trt_resize import (
    READ_OR_REFUSED_SINCE,
    Lack,
    is_harmless,
    older,
    settings_lacking,
    sizes_lacking,
)

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.export.passes.contract import Aim

COMPUTED_SCALES_SINCE = (8, 4)
_FIRST_SCALES_OF_THREE = 2
_AFTER_THE_LAST_READ = (10, 2)


def _lacks(node: ir.Node, aim: Aim) -> Fault | None:
    if aim.tensorrt is None:
        return None
    settings = settings_lacking(node, aim)
    if settings is not None and not settings.silent:
        return _fault(settings, aim)
    refused = _axes_of_scales(node, aim)
    if refused is not None:
        return refused
    resize = read_resize(node)
    if isinstance(resize, Refusal):
        return None if settings is None else _fault(settings, aim)
    lack = settings or sizes_lacking(resize, aim)
    if lack is None or is_harmless(lack, resize, aim):
        return None
    return _fault(lack, aim)


def _fault(lack: Lack, aim: Aim) -> Fault:
    verdict = Verdict.DIFFERENT if lack.silent else Verdict.REFUSED
    # Newer importers were not to be read; what RTX does was tried.
    ran = "" if older(aim, _AFTER_THE_LAST_READ) else "; run: TensorRT for RTX 1.7.1"
    return Fault(verdict, lack.reason, f"{importer(aim)}, Resize{ran}")


def _axes_of_scales(node: ir.Node, aim: Aim) -> Fault | None:
    """Before axes are read, as many scales as dimensions are wanted."""
    axes, dims = attribute(node, "axes", None), rank(node.inputs[0])
    scales = static_shape(input_of(node, 2))
    if axes is None or dims is None or not scales or not older(aim, READ_OR_REFUSED_SINCE):
        return None
    if len(axes) == dims or not scales[0]:
        return None
    return Fault(
        Verdict.REFUSED,
        f"{len(axes)} scales for {dims} dimensions: this TensorRT ignores axes",
        f"{importer(aim)}: The shape of input scales must align with the input rank",
    )


def _computed_scales(node: ir.Node, aim: Aim) -> Fault | None:
    old = node.op_type == "Upsample" or len(node.inputs) <= _FIRST_SCALES_OF_THREE
    scales = input_of(node, 1 if old else _FIRST_SCALES_OF_THREE)
    if scales is None or is_weights(scales) or not older(aim, COMPUTED_SCALES_SINCE):
        return None
    if static_shape(scales) == (0,) and input_of(node, 3) is not None:
        return None
    return Fault(
        Verdict.REFUSED,
        "its scales are computed, and this TensorRT takes an initializer alone",
        f"{importer(aim)}: Resize scales must be an initializer!",
        "fix the input's shape (--shape), so that the scales can be folded to a constant",
    )


RESIZE_RULES = (
    Rule("resize-settings", ("Resize", "Upsample"), _lacks),
    Rule("resize-computed-scales", ("Resize", "Upsample"), _computed_scales),
)
