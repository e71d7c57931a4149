"""Arrays into a module: compared whole first, then copied."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgeup.errors import EdgeupError
from edgeup.models.weights.inert import first
from edgeup.spec import Array

if TYPE_CHECKING:
    import torch
    from torch import nn

_COUNTER = "num_batches_tracked"  # PyTorch before 0.4.1 had none, and inference needs none


def load_state(module: nn.Module, state: Mapping[str, Array], path: Path) -> None:
    """Copy ``state`` into ``module``, converting to the dtype of each parameter.

    Args:
        module: the network; untouched unless every key and shape fits.
        state: arrays by state-dict name; batch norms need their running statistics.
        path: where the arrays came from, for the message.

    Raises:
        EdgeupError: keys are missing or unexpected, or an array has another shape or kind.
    """
    import torch

    targets: dict[str, torch.Tensor] = module.state_dict()
    problems = [
        f"{what}: {first(names)}" for what, names in _differences(targets, state).items() if names
    ]
    if problems:
        raise EdgeupError(f"weights {path} do not fit the network; {'; '.join(problems)}")
    with torch.no_grad():
        for name, array in state.items():
            # NumPy's kinds that torch lacks (ml_dtypes' bfloat16) widen without loss.
            plain = array.astype(np.float32) if array.dtype.kind == "V" else np.array(array)
            targets[name].copy_(torch.from_numpy(plain))


def _differences(
    targets: Mapping[str, torch.Tensor], state: Mapping[str, Array]
) -> dict[str, list[str]]:
    missing = [n for n in targets if n not in state and not n.endswith(_COUNTER)]
    shapes = [
        f"{name} has {_shape(state[name].shape)}, wanted {_shape(tuple(target.shape))}"
        for name, target in targets.items()
        if name in state and state[name].shape != tuple(target.shape)
    ]
    kinds = [
        f"{name} holds {state[name].dtype}"
        for name, target in targets.items()
        # V is bfloat16, which NumPy knows as an extension
        if name in state and target.is_floating_point() != (state[name].dtype.kind in "fV")
    ]
    return {
        "missing": missing,
        "unexpected": [name for name in state if name not in targets],
        "of another shape": shapes,
        "of another kind": kinds,
    }


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "one number"
