"""Which heights and widths a network takes: walked as the network walks them. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

from edgeup.errors import EdgeupError
from edgeup.models.network_types import Fits, Network, Settings

_SEARCH = 1024  # how far from a refused side others are looked for

UNET_LEVELS = 4
"""How often U-Net halves the picture."""


@dataclass(frozen=True)
class ZfnetLayer:
    """A convolution of ZFNet; ``pools`` says whether 3x3 max pooling of stride 2 precedes it."""

    channels: int
    kernel: int
    stride: int
    padding: int
    pools: bool


ZFNET_LAYERS: Final = (
    ZfnetLayer(96, kernel=7, stride=2, padding=1, pools=False),
    ZfnetLayer(256, kernel=5, stride=2, padding=0, pools=True),
    ZfnetLayer(384, kernel=3, stride=1, padding=1, pools=True),
    ZfnetLayer(384, kernel=3, stride=1, padding=1, pools=False),
    ZfnetLayer(256, kernel=3, stride=1, padding=1, pools=False),
)
"""See `edgeup.models.zfnet` for what is NOT VERIFIED of it."""


def any_side(_: int, __: Settings) -> str | None:
    """Poolings round up, and what follows takes every size."""
    return None


def multiple_of(step: int) -> Fits:
    """Only what can be halved down to a whole number comes back at its own size."""

    def fits(side: int, _: Settings) -> str | None:
        return f"height and width must be multiples of {step}" if side % step else None

    return fits


def unet_side(side: int, settings: Settings) -> str | None:
    """Every pooled map must be even, or the two halves of a concatenation do not align.

    Without padding, each pair of 3x3 convolutions takes 4 pixels away (Ronneberger et al. 2015,
    arXiv:1505.04597, section 2).
    """
    border = 4 if settings["padding"] == "valid" else 0
    for level in range(1, UNET_LEVELS + 1):
        side -= border
        if side <= 0:
            return _used_up(level)
        if side % 2:
            return f"pooling {level} meets {side}, which is odd"
        side //= 2
    side -= border
    for level in range(UNET_LEVELS, 0, -1):
        if side <= 0:
            return _used_up(level)
        side = 2 * side - border
    return _used_up(1) if side <= 0 else None


def deconvnet_side(side: int, _: Settings) -> str | None:
    """The 7x7 convolution after five poolings, which round up, has no padding."""
    pooled = -(-side // 32)
    return f"fc6 is 7x7, and its input has {pooled}" if pooled < 7 else None


def zfnet_side(side: int, settings: Settings) -> str | None:
    """Each convolution and pooling down to the chosen layer must find enough to work on."""
    for number, layer in enumerate(ZFNET_LAYERS[: settings["layer"]], 1):
        if layer.pools:
            if side < 2:
                return f"the pooling before convolution {number} is 3x3, and its input has {side}"
            side //= 2
        rest = side + 2 * layer.padding - layer.kernel
        if rest < 0:
            return (
                f"convolution {number} is {layer.kernel}x{layer.kernel}, and its input has {side}"
            )
        side = rest // layer.stride + 1
    return None


def check_shape(network: Network, shape: Sequence[int], settings: Settings) -> None:
    """Refuse an input that the network's wiring does not carry through.

    Raises:
        EdgeupError: another rank or channel count, nothing in an axis, or a height or width that
            does not work out; the line names the nearest that do.
    """
    got = "x".join(map(str, shape))
    wanted = network.input_shape
    if len(shape) != len(wanted) or min(shape) < 1:
        raise EdgeupError(
            f"{network.name} takes an input of {len(wanted)} axes, each at least 1, as "
            f"{'x'.join(map(str, wanted))}; got {got}"
        )
    if shape[1] != wanted[1]:
        raise EdgeupError(f"{network.name} takes {wanted[1]} channels, got {shape[1]} in {got}")
    for side in shape[2:]:
        reason = network.fits(side, settings)
        if reason is not None:
            axes = product(*(_nearest(network, other, settings) for other in shape[2:]))
            raise EdgeupError(
                f"input size {'x'.join(map(str, shape[2:]))} does not suit {network.name}: "
                f"{reason}; the nearest that do are {', '.join('x'.join(a) for a in axes)}"
            )


def _nearest(network: Network, side: int, settings: Settings) -> list[str]:
    """The side itself if it fits, otherwise the next below and above."""
    if network.fits(side, settings) is None:
        return [str(side)]
    below = range(side - 1, max(0, side - _SEARCH), -1)
    above = range(side + 1, side + _SEARCH)
    found = (
        next((s for s in r if network.fits(s, settings) is None), None) for r in (below, above)
    )
    return [str(s) for s in found if s is not None]


def _used_up(level: int) -> str:
    return f"nothing is left of it at level {level}, after unpadded convolutions"
