"""One algebra for upsampling convolutions: any of their forms in, any of their forms out.

Nearest resize + convolution, zero-insertion unpooling + convolution, transposed convolution and
sub-pixel convolution are one linear operator (polyphase decomposition; Shi et al. 2016,
arXiv:1609.07009). `PolyphaseFilter` is that operator; the other names are its graphs.
"""

from edgeup.polyphase.box import split_box
from edgeup.polyphase.conv import Conv, ConvTranspose
from edgeup.polyphase.filter import PolyphaseFilter, Refusal
from edgeup.polyphase.interleaved import Interleave, InterleavedConvs

__all__ = [
    "Conv",
    "ConvTranspose",
    "Interleave",
    "InterleavedConvs",
    "PolyphaseFilter",
    "Refusal",
    "split_box",
]
