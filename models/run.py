"""Run a module on NumPy arrays: the PyTorch side of every parity check."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree

from edgeup.errors import EdgeupError
from edgeup.spec import Array


def run_module(module: nn.Module, arrays: Sequence[Array]) -> list[Array]:
    """Outputs of one forward pass in evaluation mode, flattened as torch.export flattens them.

    Tuples, lists and dictionaries are taken apart in order; None is left out.

    Raises:
        EdgeupError: an output is not a tensor, or the module refused the inputs.
    """
    tensors = [torch.from_numpy(array.copy()) for array in arrays]
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            result: Any = module(*tensors)
    except RuntimeError as error:
        shapes = ", ".join("x".join(map(str, array.shape)) for array in arrays)
        raise EdgeupError(f"the module refused an input of shape {shapes}: {error}") from error
    finally:
        module.train(was_training)
    leaves = [leaf for leaf in _pytree.tree_leaves(result) if leaf is not None]
    for leaf in leaves:
        if not isinstance(leaf, torch.Tensor):
            raise EdgeupError(f"the module returned a {type(leaf).__name__} among its outputs")
    return [leaf.numpy() for leaf in leaves]
