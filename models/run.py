"""Run a module on NumPy arrays: the PyTorch side of every parity check."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.utils import _pytree

from edgeup.errors import EdgeupError
from edgeup.spec import Array

Path: TypeAlias = "tuple[Any, ...]"
"""Where a module's result holds an output: keys, positions and attributes, as `_pytree` says."""


@contextmanager
def half_the_cores() -> Iterator[None]:
    """Torch on half the cores that this process may use, at least one.

    OpenMP's threads wait for each other by spinning. On a core that something else uses too,
    that wait is long: on two cores beside one busy process, FastDepth took 0.17 s on one thread
    and 1.2 to 1.7 s on two.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, min(before, len(os.sched_getaffinity(0)) // 2)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def run_module(module: nn.Module, arrays: Sequence[Array]) -> list[Array]:
    """Outputs of one forward pass in evaluation mode, flattened as torch.export flattens them.

    Tuples, lists and dictionaries are taken apart in order; None is left out.

    Raises:
        EdgeupError: an output is no tensor or of a type that NumPy does not have, or the module
            refused the inputs.
    """
    return _arrays(_pytree.tree_leaves(_result(module, arrays)))


def run_with_paths(module: nn.Module, arrays: Sequence[Array]) -> list[tuple[Path, Array]]:
    """As `run_module`, with each output's place in what the module returns.

    Raises:
        EdgeupError: see `run_module`.
    """
    result = _result(module, arrays)
    try:
        leaves, _ = _pytree.tree_flatten_with_path(result)
    except ValueError:  # of a type that was registered without keys
        plain = enumerate(_pytree.tree_leaves(result))
        leaves = [((_pytree.SequenceKey(index),), leaf) for index, leaf in plain]
    paths = [path for path, leaf in leaves if leaf is not None]
    return list(zip(paths, _arrays([leaf for _, leaf in leaves]), strict=True))


def _result(module: nn.Module, arrays: Sequence[Array]) -> Any:
    tensors = [torch.from_numpy(array.copy()) for array in arrays]
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad(), half_the_cores():
            return module(*tensors)
    except RuntimeError as error:
        shapes = ", ".join("x".join(map(str, array.shape)) for array in arrays)
        raise EdgeupError(f"the module refused an input of shape {shapes}: {error}") from error
    finally:
        module.train(was_training)


def _arrays(leaves: Sequence[Any]) -> list[Array]:
    given = [leaf for leaf in leaves if leaf is not None]
    for leaf in given:
        if not isinstance(leaf, torch.Tensor):
            raise EdgeupError(f"the module returned a {type(leaf).__name__} among its outputs")
    return [_array(leaf, index) for index, leaf in enumerate(given)]


def _array(output: torch.Tensor, index: int) -> Array:
    try:
        array: Array = output.numpy(force=True)  # also of a parameter, or a conjugate's view
    except (TypeError, RuntimeError) as error:
        kind = str(output.dtype).removeprefix("torch.")
        raise EdgeupError(
            f"output {index} of the module is of type {kind}, and NumPy cannot hold it ({error}), "
            f"so it cannot be compared; let forward return a dense float32 tensor"
        ) from error
    return array
