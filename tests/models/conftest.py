"""The NumPy reference, and how a module is run against it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn


@pytest.fixture(scope="session")
def reference() -> ModuleType:
    """tests/models/numpy_reference.py: upsampling from its definitions."""
    path = Path(__file__).with_name("numpy_reference.py")
    spec = importlib.util.spec_from_file_location("numpy_reference", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def normal() -> Callable[..., NDArray[np.float64]]:
    """Normal random numbers of a shape, from a seed."""

    def draw(seed: int, *shape: int) -> NDArray[np.float64]:
        return np.random.default_rng(seed).normal(size=shape)

    return draw


@pytest.fixture(scope="session")
def run() -> Callable[..., NDArray[np.float64]]:
    """Run a module on arrays, in float64 and evaluation mode, so that only algebra is tested."""

    def call(module: nn.Module, *arrays: NDArray[np.float64]) -> NDArray[np.float64]:
        with torch.no_grad():
            y: torch.Tensor = module.double().eval()(*map(torch.from_numpy, arrays))
        result = y.numpy()
        assert np.isfinite(result).all()
        assert result.std() > 0, "a constant output would compare equal to many wrong ones"
        return result

    return call


@pytest.fixture(scope="session")
def randomised() -> Callable[[nn.Module, int], nn.Module]:
    """Give every parameter and batch norm statistic a random value."""

    def fill(module: nn.Module, seed: int) -> nn.Module:
        generator = torch.Generator().manual_seed(seed)
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                tensor.normal_(generator=generator)
            if name.endswith("running_var"):
                tensor.abs_().add_(0.5)
        return module

    return fill
