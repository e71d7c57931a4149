"""Convolutions of the low-resolution input whose outputs are interleaved: depth to space."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edgeup.errors import EdgeupError
from edgeup.polyphase.conv import Conv
from edgeup.polyphase.fields import Ints, complete, halves, positive


@dataclass(frozen=True)
class Interleave:
    """Depth to space: ``n (c s...) *d`` to ``n c *(d s)``, then a crop.

    Attributes:
        strides: block extent per axis.
        mode: order of the input's channels. ``DCR``: phase, then channel, as a Concat of one
            tensor per phase has it. ``CRD``: channel, then phase, as PyTorch's PixelShuffle.
        crops: what is cut from the interleaved map; empty for nothing.

    Raises:
        EdgeupError: the fields do not fit together.
    """

    strides: Ints
    mode: Literal["DCR", "CRD"]
    crops: Ints = ()

    def __post_init__(self) -> None:
        complete(self, "strides", len(self.strides), 1, least=1)
        complete(self, "crops", 2 * len(self.strides), 0, least=0)

    @property
    def blocksize(self) -> int | None:
        """Block size for ONNX's DepthToSpace, which has two axes and one factor; else None."""
        square = len(self.strides) == 2 and self.strides[0] == self.strides[1]
        return self.strides[0] if square else None

    @property
    def perm(self) -> Ints:
        """Transpose between two Reshapes, for what DepthToSpace cannot do.

        The first Reshape gives ``n *s c *d`` (DCR) or ``n c *s *d`` (CRD); transposed it is
        ``n c d s d s ...``, and the second Reshape joins each ``d s``.
        """
        axes = len(self.strides)
        channel, phase = (axes + 1, 1) if self.mode == "DCR" else (1, 2)
        woven = [a for i in range(axes) for a in (axes + 2 + i, phase + i)]
        return (0, channel, *woven)

    @property
    def extra(self) -> Ints:
        """Output extent less ``stride * input extent``, per axis."""
        return tuple(-b - e for b, e in zip(*halves(self.crops), strict=True))


@dataclass(frozen=True, eq=False)
class InterleavedConvs:
    """Convolutions of the low-resolution input, Concat of their outputs if several, interleave.

    One convolution is sub-pixel convolution; one per phase (in row-major order, mode DCR) are
    phase convolutions, as FCRN's fast up-convolution has them.

    Raises:
        EdgeupError: the convolutions differ in what they read or in their outputs' extents, or
            their channels do not fill the blocks.
    """

    convs: tuple[Conv, ...]
    interleave: Interleave

    def __post_init__(self) -> None:
        if not self.convs:
            raise EdgeupError("no convolution to interleave: wanted one, or one per phase")
        first = self.convs[0]
        strides = self.interleave.strides
        for conv in self.convs:
            got = (len(conv.growth), conv.weight.shape[1], conv.group, conv.growth)
            wanted = (len(strides), first.weight.shape[1], first.group, first.growth)
            if got != wanted:
                raise EdgeupError(
                    f"convolutions to interleave differ: got (axes, ci/g, group, growth) {got}, "
                    f"wanted {wanted}"
                )
        if self.conv_channels % math.prod(strides):
            raise EdgeupError(
                f"{self.conv_channels} channels cannot be interleaved in blocks of {strides}: "
                f"wanted a multiple of {math.prod(strides)}"
            )

    @property
    def conv_channels(self) -> int:
        """Channels of all convolutions together."""
        return sum(conv.weight.shape[0] for conv in self.convs)

    def output_spatial(self, spatial: Sequence[int]) -> Ints:
        """Extents of the output.

        Raises:
            EdgeupError: the input is too small to give any output.
        """
        blocks = self.convs[0].output_spatial(spatial)
        numbers = zip(blocks, self.interleave.strides, self.interleave.extra, strict=True)
        return positive([s * n + x for n, s, x in numbers], spatial)

    def macs(self, spatial: Sequence[int]) -> int:
        """Multiply-accumulates of all convolutions."""
        return sum(conv.macs(spatial) for conv in self.convs)

    def elements(self, spatial: Sequence[int]) -> int:
        """Tensor elements read and written by each node in turn, weights included."""
        blocks = self.convs[0].output_spatial(spatial)
        copy = 2 * self.conv_channels * math.prod(blocks)
        copies = 2 if len(self.convs) > 1 else 1  # Concat and interleave, or interleave alone
        kept = self.conv_channels // math.prod(self.interleave.strides)
        crop = 2 * kept * math.prod(self.output_spatial(spatial))
        convs = sum(conv.elements(spatial) for conv in self.convs)
        return convs + copies * copy + (crop if any(self.interleave.crops) else 0)
