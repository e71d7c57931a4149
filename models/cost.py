"""What a module costs, as it is written: parameters and dense multiply-accumulates."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from edgeup.models.upsampling.zero_insertion import ZeroInsertion
from edgeup.spec import TensorSpec

_CONVS: Final = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)


def parameters(module: nn.Module) -> int:
    """Learned numbers: weights and biases, scale and shift of batch norms."""
    return sum(parameter.numel() for parameter in module.parameters())


def conv_weights(module: nn.Module) -> int:
    """Weights of convolutions alone, the way pruning papers count: no bias, no batch norm."""
    return sum(child.weight.numel() for child in module.modules() if isinstance(child, _CONVS))


def macs(module: nn.Module, inputs: Sequence[TensorSpec | Sequence[int]]) -> int:
    """Multiply-accumulates of one forward pass in eval mode; nothing is computed.

    Counted are convolutions and matrix products, 2 flops for one, whether or not a factor is
    zero. `ZeroInsertion` copies values, so the transposed convolution that stands for it does
    not count.

    Args:
        module: left as it was.
        inputs: one per argument; a shape alone stands for float32.
    """
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    counter = FlopCounterMode(display=False)
    with (
        _evaluating(module),
        _quiet(),
        _flops_in(ZeroInsertion, module, counter) as copies,
        torch.no_grad(),
        FakeTensorMode(allow_non_fake_inputs=True),
        counter,
    ):
        module(*(_empty(each, device) for each in inputs))
    return (counter.get_total_flops() - sum(copies)) // 2


def _empty(spec: TensorSpec | Sequence[int], device: torch.device) -> torch.Tensor:
    if not isinstance(spec, TensorSpec):
        return torch.empty(tuple(spec), device=device)
    dtype: torch.dtype = getattr(torch, spec.dtype)  # NumPy's names are torch's
    return torch.empty(spec.static_shape, dtype=dtype, device=device)


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    modes = {child: child.training for child in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for child, mode in modes.items():
            child.training = mode


@contextmanager
def _quiet() -> Iterator[None]:
    """Torch logs each error of a shape with a traceback before it raises it."""
    log = logging.getLogger("torch._subclasses.fake_tensor")
    was_disabled, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = was_disabled


@contextmanager
def _flops_in(
    kind: type[nn.Module], module: nn.Module, counter: FlopCounterMode
) -> Iterator[list[int]]:
    """Yield a list whose sum becomes the flops counted inside of the modules of ``kind``."""
    signed: list[int] = []

    def enter(*_: object) -> None:
        signed.append(-counter.get_total_flops())

    def leave(*_: object) -> None:
        signed.append(counter.get_total_flops())

    with ExitStack() as hooks:
        for child in module.modules():
            if isinstance(child, kind):
                hooks.callback(child.register_forward_pre_hook(enter).remove)
                hooks.callback(child.register_forward_hook(leave).remove)
        yield signed
