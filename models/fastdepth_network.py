"""FastDepth as an entry of the table of networks."""

from __future__ import annotations

from torch import nn

from edgeup.models import fastdepth
from edgeup.models.catalog import PRUNED, FastDepthConfig


def build(*, encoder: str, decoder: str, skip: str, widths: str) -> nn.Module:
    """FastDepth by its settings; ``widths`` is ``"standard"`` or ``"pruned"``.

    Raises:
        EdgeupError: parts that do not go together (`edgeup.models.catalog.validate`).
    """
    pruned = (PRUNED.encoder_widths, PRUNED.decoder_widths) if widths == "pruned" else (None, None)
    return fastdepth.build(FastDepthConfig(encoder, decoder, skip, *pruned))
