"""The passes in their order; beside each stands what it must follow, and why."""

from __future__ import annotations

from edgeup.export.passes.accept_conv_transpose import AcceptConvTranspose
from edgeup.export.passes.block_moves import BlockMoves
from edgeup.export.passes.ceil_pooling import CeilPooling
from edgeup.export.passes.constant_grid import ConstantGrid
from edgeup.export.passes.contract import Rule
from edgeup.export.passes.conv_transpose_forms import ConvTransposeForms
from edgeup.export.passes.fold_scale import FoldScale
from edgeup.export.passes.fuse_upsample_conv import FuseUpsampleConv
from edgeup.export.passes.grid_names import GridNames
from edgeup.export.passes.hard_sigmoid import HardSigmoid
from edgeup.export.passes.identity_resize import IdentityResize
from edgeup.export.passes.interleaved_convs import InterleavedConvolutions
from edgeup.export.passes.max_pooling import MaxPooling
from edgeup.export.passes.merge_resizes import MergeResizes
from edgeup.export.passes.merge_siblings import MergeSiblings
from edgeup.export.passes.mixed_grid import MixedGrid
from edgeup.export.passes.moved_types import MovedTypes
from edgeup.export.passes.narrowed_float64 import NarrowedFloat64
from edgeup.export.passes.padding import Padding
from edgeup.export.passes.plane_starts import PlaneStarts
from edgeup.export.passes.scatter_reduction import ScatterReduction
from edgeup.export.passes.separable_resize import SeparableResize
from edgeup.export.passes.sink_resize import SinkResize
from edgeup.export.passes.split_concat_conv import SplitConcatConv
from edgeup.export.passes.unpool_by_index import UnpoolByIndex
from edgeup.export.passes.wanted_inputs import WantedInputs

PASSES: tuple[Rule, ...] = (
    # First of all: scales that are computed from constants hide a resize from every other.
    WantedInputs(),
    # First: a resize by 1 between two others would hide them from each other.
    IdentityResize(),
    # After identity-resize; before all that reads resizes: a spelling that TensorRT lacks becomes,
    # where it can, one that they know.
    SeparableResize(),
    # Before the fusions, whose "as written" must be something that the target takes.
    AcceptConvTranspose(),
    # Before all that looks for a convolution right before or after something: a batch norm or a
    # scale between them hides them from each other.
    FoldScale(),
    # Before constant-grid: where the name alone is misunderstood, the operator itself can stay.
    GridNames(),
    # GridSample is no other pass's business.
    ConstantGrid(),
    # After constant-grid, which takes those whose grid is constant and that need more than a cast.
    MixedGrid(),
    # Before sink-resize: hard swish reads its input twice, and a resize read twice does not move.
    HardSigmoid(),
    # Before sink-resize: two maps are resized by the same grid only once their chains are merged.
    MergeResizes(),
    # Before all that looks for a resize right before a convolution or a Concat.
    SinkResize(),
    # Again: sinking brings resizes together that operators held apart.
    MergeResizes(),
    # Again: a batch norm behind a resize has sunk to the convolution before it.
    FoldScale(),
    # Before split-concat-conv and fuse-upsample-conv: each then sees one convolution, not two that
    # share a map.
    MergeSiblings(),
    # After sink-resize, which leaves a Concat of plain and resized maps; before
    # fuse-upsample-conv, which sees a convolution right after a resize only.
    SplitConcatConv(),
    # After split-concat-conv and merge-siblings, as they say; before conv-transpose-forms, to which
    # zero insertion by a transposed convolution is no upsampling convolution.
    FuseUpsampleConv(),
    # After fold-scale, which takes the batch norm behind an interleave.
    InterleavedConvolutions(),
    # After the two others: the transposed convolutions that they chose are not chosen again.
    ConvTransposeForms(),
    # Again: the fusions wrote transposed convolutions of their own (asymmetric pads on three axes).
    AcceptConvTranspose(),
    # Anywhere: a pooling without indices is no other pass's business.
    CeilPooling(),
    # Before max-pooling, which knows the constant in the index arithmetic, not the second MaxPool.
    PlaneStarts(),
    # After all that moves or merges, which it has nothing to do with: it writes many small nodes.
    MaxPooling(),
    # After max-pooling, which takes every unpooling whose MaxPool it finds.
    UnpoolByIndex(),
    # After max-pooling, which pads with -infinity.
    Padding(),
    # After max-pooling and unpool-by-index, which take the scatters that unpool.
    ScatterReduction(),
    # Before moved-types, which sees to the uint8 in what it writes.
    BlockMoves(),
    # Last but for reports: other passes leave Gather and Reshape of the types that came in.
    MovedTypes(),
    # A report only; at the end, of what is left.
    NarrowedFloat64(),
)
