"""Random weights that a parity test can learn something from.

With PyTorch's defaults a deep network in eval mode loses its signal, and a last ReLU may leave
all zeros: any two graphs agree on that. Here every layer is fitted to what really reaches it
(data-dependent initialisation, Salimans & Kingma 2016, arXiv:1602.07868).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final, TypeGuard

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from edgeup.spec import Array

_CONVS: Final = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_CONV_TRANSPOSES: Final = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_NORMS: Final = (_BatchNorm, nn.GroupNorm, nn.LayerNorm)

_PIXELS: Final = 128 * 128
"""Calibration sees that many at least, so that a map at 1/32 has 16 values per channel."""

# Mean and deviation of a normalised channel. With a mean of about 1.5 deviations few values
# fall below zero, so a ReLU matters but rounding errors do not grow from layer to layer: with
# means near zero, FastDepth's float16 output differs by 10 % of its deviation, here by 0.5 %.
# Some values exceed 6, so ReLU6 matters too.
_DEVIATIONS: Final = (1.0, 2.0)
_MEANS: Final = (1.5, 3.0)


def initialise(
    module: nn.Module, seed: int, example_inputs: Sequence[torch.Tensor | Array]
) -> None:
    """Give ``module`` random weights under which no signal vanishes, explodes or is constant.

    Convolutions, linear layers and normalisations are drawn anew. Then random pictures pass
    through once: they set the running statistics of each batch norm, and weight and bias of
    each convolution that has a bias, so that its channels have deviation 1 and a mean of 1 to
    2. Other modules keep what they have, and so does a parameter that asks for no gradient (a
    fixed bilinear kernel). Afterwards the module is in eval mode; torch's global random state
    is as it was.

    Args:
        module: any module whose inputs have a batch axis first.
        seed: the same seed gives the same weights.
        example_inputs: one tensor or array per argument. Floating ones lend their shapes,
            others (such as indices) are used as they are.
    """
    examples = [torch.as_tensor(example) for example in example_inputs]
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        module.eval()
        for child in module.modules():
            _draw(child)
        pixels = math.prod(examples[0].shape[2:])
        repeats = min(16, max(2, math.ceil(_PIXELS / pixels)))
        with ExitStack() as calibration:
            for child in module.modules():
                if isinstance(child, _BatchNorm) and child.track_running_stats:
                    calibration.enter_context(_measuring(child))
                elif _has_learned_bias(child):
                    calibration.callback(child.register_forward_hook(_normalise).remove)
            module(*(_pictures(example, repeats) for example in examples))


def _draw(module: nn.Module) -> None:
    """Draw weights that keep the variance through a following ReLU (He et al. 2015)."""
    if isinstance(module, (*_CONVS, nn.Linear)):
        _normal(module.weight, module.weight[0].numel())
        _uniform(module.bias, 0.0, 0.5)
    elif isinstance(module, _CONV_TRANSPOSES):
        # Each output is reached by one of every prod(stride) taps.
        taps = math.prod(module.kernel_size) / math.prod(module.stride)
        _normal(module.weight, taps * module.in_channels / module.groups)
        _uniform(module.bias, 0.0, 0.5)
    elif isinstance(module, _NORMS):
        _uniform(module.weight, *_DEVIATIONS)
        _uniform(module.bias, *_MEANS)


def _normal(weight: torch.Tensor, fan_in: float) -> None:
    if weight.requires_grad:
        weight.normal_(std=math.sqrt(2 / fan_in))


def _uniform(parameter: torch.Tensor | None, low: float, high: float) -> None:
    if _is_learned(parameter):
        parameter.uniform_(low, high)


def _is_learned(parameter: torch.Tensor | None) -> TypeGuard[torch.Tensor]:
    return parameter is not None and parameter.requires_grad


def _has_learned_bias(module: nn.Module) -> bool:
    return (
        isinstance(module, (*_CONVS, *_CONV_TRANSPOSES))
        and module.weight.requires_grad
        and _is_learned(module.bias)
    )


@contextmanager
def _measuring(norm: _BatchNorm) -> Iterator[None]:
    """Let the running statistics become those of the batch that passes meanwhile."""
    momentum = norm.momentum
    norm.reset_running_stats()
    norm.momentum = None  # a plain average, not an exponential one
    norm.train()
    try:
        yield
    finally:
        norm.eval()
        norm.momentum = momentum


def _normalise(conv: nn.Module, _: Any, output: torch.Tensor) -> torch.Tensor:
    """Forward hook: scale the weight, set the bias, return what the convolution gives now."""
    weight, bias = conv.get_parameter("weight"), conv.get_parameter("bias")
    deviation, mean = torch.std_mean(output, [0, *range(2, output.dim())])
    scale = 1 / deviation.clamp_min(1e-6)
    shift = 1 + torch.rand_like(mean) - mean * scale
    if isinstance(conv, _CONV_TRANSPOSES):
        # ci, co/groups, taps; each group's inputs are a run along the first axis.
        grouped = weight.view(conv.groups, -1, *weight.shape[1:]).movedim((0, 2), (-2, -1))
        grouped.mul_(scale.view(conv.groups, -1))
    else:
        weight.movedim(0, -1).mul_(scale)
    bias.mul_(scale).add_(shift)
    return (output.movedim(1, -1) * scale + shift).movedim(-1, 1)


def _pictures(example: torch.Tensor, repeats: int) -> torch.Tensor:
    """Flat patches under fine texture in 0..1, ``repeats`` times the batch of ``example``."""
    if not example.is_floating_point():
        return torch.cat([example] * repeats)
    shape = (example.shape[0] * repeats, *example.shape[1:])
    texture = torch.rand(shape, dtype=example.dtype, device=example.device)
    if example.dim() < 3:
        return texture
    coarse = (*shape[:2], *(math.ceil(size / 16) for size in shape[2:]))
    patches = torch.rand(coarse, dtype=example.dtype, device=example.device)
    return (texture + F.interpolate(patches, shape[2:], mode="nearest")) / 2
