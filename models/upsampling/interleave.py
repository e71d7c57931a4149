"""Interleaving: the factor² phases of an upsampled map become the map."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def interleave(phases: Sequence[Tensor], factor: int) -> Tensor:
    """Interleave ``factor²`` maps ``n c h w`` into one ``n c factor·h factor·w``.

    Phase ``factor·a + b`` lands on rows ``factor·i + a`` and columns ``factor·j + b``.
    In ONNX: one Concat and one DepthToSpace (CRD).
    """
    return F.pixel_shuffle(torch.stack(list(phases), dim=2).flatten(1, 2), factor)
