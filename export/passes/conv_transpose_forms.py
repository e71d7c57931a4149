"""A transposed convolution of stride above 1, in the other forms of its polyphase filter.

::

    x -> ConvTranspose -> y      becomes      x -> Conv -> DepthToSpace -> y
                                       or     x -> s*s Conv -> Concat -> DepthToSpace -> y

1. Exact for every stride, kernel, pad, dilation, group and output padding; ``auto_pad`` and
   ``output_shape`` are resolved to pads first.
2. A kernel that only inserts zeros is left to `fuse_upsample_conv`: alone, it is no convolution.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeup.export.passes.contract import Aim, Plan, Refusal
from edgeup.export.passes.conv_nodes import SPATIAL, read_conv_transpose
from edgeup.export.passes.facts import attribute, is_onnx, opset_of, static_shape
from edgeup.export.passes.forms import Part, candidates, is_chosen
from edgeup.export.passes.upsampled import Upsampled, upsampled_source
from edgeup.polyphase import PolyphaseFilter

if TYPE_CHECKING:
    import onnx_ir as ir


class ConvTransposeForms:
    """Offers the forms of a transposed convolution."""

    name = "conv-transpose-forms"

    def check(self, node: ir.Node, aim: Aim) -> Plan | Refusal | None:
        """The rules of the module."""
        if not is_onnx(node, "ConvTranspose") or is_chosen(node):
            return None
        source = node.inputs[0]
        if source is None or set(attribute(node, "strides", (1,))) == {1}:
            return None
        if isinstance(upsampled_source(node.outputs[0]), Upsampled):
            return None  # rule 2
        form = read_conv_transpose(node)
        if isinstance(form, Refusal):
            return form
        shape = static_shape(source)
        if shape is None:
            return Refusal(node.name or "", "its input's shape is not known: --shape would fix it")
        whole = PolyphaseFilter.from_conv_transpose(form)
        forms = candidates([Part(whole)], shape[SPATIAL:], opset_of(node, aim), [node])
        if not forms:
            return None
        by = "x".join(str(s) for s in form.strides)
        return Plan(
            nodes=(node,),
            inputs=(source,),
            outputs=(node.outputs[0],),
            candidates=forms,
            why=f"a transposed convolution of stride {by} is a polyphase filter",
        )
