"""Writes a polyphase filter as nodes, in each of its forms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from edgeup.export.passes.activation import Activation
from edgeup.export.passes.builder import Builder
from edgeup.export.passes.contract import Candidate
from edgeup.export.passes.facts import constant, input_of, is_onnx
from edgeup.export.passes.interleave_nodes import crop, interleave, pad_edges
from edgeup.polyphase import Conv, ConvTranspose, InterleavedConvs, PolyphaseFilter, Refusal

if TYPE_CHECKING:
    import onnx_ir as ir

Form: TypeAlias = "ConvTranspose | InterleavedConvs"

FORMS: dict[str, Callable[[PolyphaseFilter], Form | Refusal]] = {
    "phase convolutions": lambda f: f.to_phase_convs(),
    "sub-pixel convolution": lambda f: f.to_subpixel_conv(),
    "sub-pixel convolution, cropped": lambda f: f.to_subpixel_conv(tight=True),
    "transposed convolution": lambda f: f.to_conv_transpose(),
}
"""Every form by name. "cropped": begins inside a block, which can save taps."""

BOXED = ", then a box"
"""Ends the names of forms with a box behind them: see `edgeup.polyphase.split_box`."""

_CHOSEN = "edgeup: form"


@dataclass(frozen=True, eq=False)
class Part:
    """One output of a site: a filter over the low-resolution map.

    Attributes:
        filter: the operator.
        edges: by how much the map is padded with its edge first, ``(begins..., ends...)``.
        activation: what is done to each number of the result; written right behind the
            convolutions, which backends then run as one node.
        box: a convolution that the result of the filter goes through.
    """

    filter: PolyphaseFilter
    edges: tuple[int, ...] = ()
    activation: Activation | None = None
    box: Conv | None = None


def is_chosen(node: ir.Node) -> bool:
    """Whether the node is part of a form that was chosen in this run: it is not chosen again.

    Measured times vary, so two rules, or one, could otherwise take turns without end.
    """
    return _CHOSEN in node.meta


def candidates(
    parts: Sequence[Part],
    spatial: tuple[int, ...] | None,
    opset: int,
    written: Iterable[ir.Node],
    keep: Callable[[Builder, ir.Value], Sequence[ir.Value]] = lambda build, source: (),
    suffix: str = "",
) -> tuple[Candidate, ...]:
    """The forms of a site that reads one map; those it has already are left out.

    Args:
        parts: one for each output.
        spatial: extents of the map, None where unknown: forms that need them are left out.
        opset: of the model.
        written: the site's nodes.
        keep: writes what else the site gives out, after the parts' outputs.
        suffix: of the forms' names.
    """
    found: list[Candidate] = []
    seen = {_signature(written)}
    for name, make in FORMS.items():
        made = [make(part.filter) for part in parts]
        forms = [form for form in made if not isinstance(form, Refusal)]
        if len(forms) != len(made):
            continue
        if spatial is None and not all(_is_shapeless(form, opset) for form in forms):
            continue
        candidate = Candidate(name + suffix, _writer(parts, forms, spatial or (), opset, keep))
        signature = _probe(candidate)
        if signature not in seen:
            seen.add(signature)
            found.append(candidate)
    return tuple(found)


def write_form(
    build: Builder,
    x: ir.Value,
    form: Form,
    spatial: Sequence[int],
    opset: int,
    activation: Activation | None = None,
) -> ir.Value:
    """The nodes of a form; ``spatial`` are the extents of ``x``."""

    def active(y: ir.Value) -> ir.Value:
        return y if activation is None else activation.write(build, y)

    if isinstance(form, ConvTranspose):
        return active(write_conv_transpose(build, x, form))
    maps = [active(write_conv(build, x, conv)) for conv in form.convs]
    joined = maps[0] if len(maps) == 1 else build.op("Concat", maps, {"axis": 1})
    blocks = form.convs[0].output_spatial(spatial) if spatial else ()
    woven = interleave(build, joined, form.interleave, form.conv_channels, blocks, opset)
    return crop(build, woven, form.interleave.crops, opset)


def write_conv(build: Builder, x: ir.Value, conv: Conv, strides: Sequence[int] = ()) -> ir.Value:
    """A Conv."""
    axes = len(conv.dilations)
    return build.op(
        "Conv",
        _with_weights(build, x, conv),
        {
            "kernel_shape": list(conv.weight.shape[2:]),
            "strides": list(strides) or [1] * axes,
            "pads": list(conv.pads),
            "dilations": list(conv.dilations),
            "group": conv.group,
        },
    )


def write_conv_transpose(build: Builder, x: ir.Value, form: ConvTranspose) -> ir.Value:
    """A ConvTranspose."""
    return build.op(
        "ConvTranspose",
        _with_weights(build, x, form),
        {
            "kernel_shape": list(form.weight.shape[2:]),
            "strides": list(form.strides),
            "pads": list(form.pads),
            "dilations": list(form.dilations),
            "output_padding": list(form.output_padding),
            "group": form.group,
        },
    )


def _with_weights(build: Builder, x: ir.Value, form: Conv | ConvTranspose) -> list[ir.Value]:
    held = [form.weight] if form.bias is None else [form.weight, form.bias]
    return [x, *(build.constant(array) for array in held)]


def _writer(
    parts: Sequence[Part],
    forms: Sequence[Form],
    spatial: tuple[int, ...],
    opset: int,
    keep: Callable[[Builder, ir.Value], Sequence[ir.Value]],
) -> Callable[[Builder, Sequence[ir.Value]], Sequence[ir.Value]]:
    def write(build: Builder, inputs: Sequence[ir.Value]) -> Sequence[ir.Value]:
        begin = len(build.nodes)
        outputs = []
        for part, form in zip(parts, forms, strict=True):
            padded, extents = inputs[0], spatial
            if any(part.edges):
                padded = pad_edges(build, padded, part.edges, opset)
                half = len(part.edges) // 2
                both = zip(part.edges[:half], part.edges[half:], strict=True)
                extents = tuple(n + b + e for n, (b, e) in zip(spatial, both, strict=False))
            y = write_form(build, padded, form, extents, opset, part.activation)
            outputs.append(y if part.box is None else write_conv(build, y, part.box))
        for node in build.nodes[begin:]:
            node.meta[_CHOSEN] = True
        return [*outputs, *keep(build, inputs[0])]

    return write


def _is_shapeless(form: Form, opset: int) -> bool:
    if isinstance(form, ConvTranspose):
        return True
    rule = form.interleave
    return rule.blocksize is not None and (opset >= 11 or rule.mode == "DCR")


def _probe(candidate: Candidate) -> Hashable:
    import onnx_ir as ir

    builder = Builder("probe")
    candidate.build(builder, [ir.Value(name="x")])
    return _signature(builder.nodes)


def _signature(nodes: Iterable[ir.Node]) -> Hashable:
    """Operators and kernels: sites alike in these do the same work."""
    kinds = []
    for node in nodes:
        weight = constant(input_of(node, 1)) if is_onnx(node, "Conv", "ConvTranspose") else None
        if not is_onnx(node, "Constant"):
            kinds.append((node.op_type, None if weight is None else weight.shape))
    return frozenset(Counter(kinds).items())
