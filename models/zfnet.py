"""The deconvnet that shows what a feature map of ZFNet sees (Zeiler and Fergus 2013,
arXiv:1311.2901, "Visualizing and Understanding Convolutional Networks").

``n 3 h w`` to a reconstruction ``n 3 h w``. The picture goes through the convolutions up to a
chosen layer, max poolings recording their switches. All feature maps but the chosen one become
zero, and it goes back: max unpooling by the switches, ReLU, and the transposed filters, down to
the pixels. Biases have no part in the way back.

At 224x224 the maps have sides of 110, 26, 13, 13 and 13, poolings give 55 and 13.

NOT VERIFIED: the paper's figure of the network, from which these sides, the 3x3 poolings of stride
2 and the channels are commonly quoted; the padding of 1 in front of the first convolution, and
poolings that keep a partial window, are what these sides need. The paper normalises contrast across
channels after each pooling, and its way back does not undo that; the constants are not at hand, so
there is none here. The paper also keeps a map's strongest activation alone; here the whole map
stays, so that no part of the graph depends on the picture but its values.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from edgeup.errors import EdgeupError
from edgeup.models.network_sizes import ZFNET_LAYERS
from edgeup.models.vgg import scaled, spatial
from edgeup.models.zfnet_pooling import pool_with_switches, unpool_by_switches


def build(*, layer: int, channel: int, width: float) -> nn.Module:
    """The visualiser by its settings; see `ZfnetVisualiser`.

    Raises:
        EdgeupError: the layer has no such channel.
    """
    return ZfnetVisualiser(layer, channel, width)


class ZfnetVisualiser(nn.Module):
    """ZFNet up to a layer, and the deconvnet back.

    Args:
        layer: the convolution whose map, after ReLU, is shown, from 1 to 5.
        channel: which of its maps, from 0.
        width: factor on every layer's channels.

    Raises:
        EdgeupError: the layer has no such channel.
    """

    selected: torch.Tensor

    def __init__(self, layer: int, channel: int, width: float) -> None:
        super().__init__()
        self.layers = ZFNET_LAYERS[:layer]
        channels = [3, *(scaled(each.channels, width) for each in self.layers)]
        if channel >= channels[-1]:
            raise EdgeupError(
                f"channel is {channel}, but layer {layer} of zfnet has {channels[-1]} at width "
                f"{width:g}; give 0 to {channels[-1] - 1}"
            )
        self.convs = nn.ModuleList(
            nn.Conv2d(ci, co, each.kernel, each.stride, each.padding)
            for (ci, co), each in zip(pairwise(channels), self.layers, strict=True)
        )
        selected = torch.zeros(1, channels[-1], 1, 1)
        selected[:, channel] = 1
        self.register_buffer("selected", selected, persistent=False)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """What in ``image`` the chosen map sees."""
        x = image
        poolings = []
        sizes = []
        for conv, layer in zip(self.convs, self.layers, strict=True):
            if layer.pools:
                before = spatial(x)
                x, switches = pool_with_switches(x)
                poolings.append((switches, before))
            sizes.append(spatial(x))
            x = F.relu(conv(x))
        x = x * self.selected
        for i in reversed(range(len(self.layers))):
            x = self._transposed(i, x, sizes[i])
            if self.layers[i].pools:
                x = unpool_by_switches(x, *poolings.pop())
            if i > 0:
                x = F.relu(x)
        return x

    def _transposed(self, i: int, x: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Filters of convolution ``i`` the other way, from its output to its input's size."""
        layer = self.layers[i]
        # The rows and columns at the far side that the stride left out.
        rest = [(n + 2 * layer.padding - layer.kernel) % layer.stride for n in size]
        weight = self.convs[i].get_parameter("weight")
        return F.conv_transpose2d(
            x, weight, stride=layer.stride, padding=layer.padding, output_padding=rest
        )
