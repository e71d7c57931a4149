"""What a module returns, taken apart as torch.export does, with the place of each output."""

from collections import namedtuple
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils import _pytree

from edgeup.errors import EdgeupError
from edgeup.export.torch_names import names_of_paths
from edgeup.models.run import run_module, run_with_paths

Maps = namedtuple("Maps", ["depth", "scores"])


class Bare:
    """Known to torch without keys."""

    def __init__(self, *parts: Any) -> None:
        self.parts = parts


_pytree.register_pytree_node(
    Bare, lambda bare: (list(bare.parts), None), lambda parts, _: Bare(*parts)
)


class Returns(nn.Module):
    def __init__(self, make: Any) -> None:
        super().__init__()
        self.make = make

    def forward(self, x: torch.Tensor) -> Any:
        return self.make(x, x + 1)


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda x, y: x + y, ["output"]),
        (lambda x, y: (x, y), ["output_0", "output_1"]),
        (lambda x, y: {"near": x, "off": None, "far": [y, x]}, ["near", "far_0", "far_1"]),
        (lambda x, y: Maps(depth=x, scores=y), ["depth", "scores"]),
        (lambda x, y: Bare(y, x), ["output_0", "output_1"]),
    ],
)
def test_outputs_are_named_by_their_place(make: Any, names: list[str]) -> None:
    module, array = Returns(make), np.arange(3, dtype=np.float32)
    found = run_with_paths(module, [array])
    assert names_of_paths(path for path, _ in found) == names
    for (_, one), other in zip(found, run_module(module, [array]), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_no_tensor_is_refused() -> None:
    module = Returns(lambda x, y: {"a": x, "b": "text"})
    for run in (run_module, run_with_paths):
        with pytest.raises(EdgeupError, match="returned a str among its outputs"):
            run(module, [np.zeros(2, np.float32)])


class Scales(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.arange(3.0))

    def forward(self, x: torch.Tensor) -> Any:
        return x * self.scale, self.scale


def test_a_parameter_is_an_output_as_any_other() -> None:
    for outputs in (
        run_module(Scales(), [np.full(3, 2, np.float32)]),
        [array for _, array in run_with_paths(Scales(), [np.full(3, 2, np.float32)])],
    ):
        np.testing.assert_array_equal(outputs[0], [0, 2, 4])
        np.testing.assert_array_equal(outputs[1], [0, 1, 2])


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda x, y: (x, y.bfloat16()), "output 1 of the module is of type bfloat16, and NumPy"),
        (lambda x, y: x.to(torch.float8_e4m3fn), "output 0 of the module is of type float8_e4m3fn"),
        (lambda x, y: (x, x, y.to_sparse()), "output 2 .* Sparse .* return a dense float32 tensor"),
    ],
)
def test_what_numpy_cannot_hold_is_refused_by_its_place_and_type(make: Any, kind: str) -> None:
    for run in (run_module, run_with_paths):
        with pytest.raises(EdgeupError, match=kind):
            run(Returns(make), [np.ones(2, np.float32)])
