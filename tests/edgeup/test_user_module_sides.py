"""A user's own module as a side of `edgeup verify`: its random weights, its outputs' names."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgeup.pipeline.user_module import user_subject
from edgeup.spec import TensorSpec

Edgeup = Callable[..., Any]

SOURCE = """
import torch
from torch import nn

at_import = nn.Conv2d(3, 2, 3)

class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x):
        a = self.conv(x)
        return {"near": a, "far": (a.sum(1, keepdim=True), None)}

class Fixed(nn.Module):
    def forward(self, x):
        return x * 2

tuned = Fixed()
tuned.scale = 0

def tune():
    tuned.scale += 1
    torch.rand(1)
    return tuned
"""
SHAPE = ("--shape", "1x3x12x16")


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "drawn_net.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    yield "drawn_net:Two"
    sys.modules.pop("drawn_net", None)


def weights(name: str, seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    subject = user_subject(name, [TensorSpec("", (1, 3, 12, 16))], seed)
    return next(subject.module.parameters()).detach().numpy().copy()


def test_the_seed_decides_the_weights_and_torch_is_left_as_it_was(two: str) -> None:
    torch.manual_seed(5)
    wanted = torch.rand(1).item()
    torch.manual_seed(5)
    first = weights(two, 0)  # imports the file, which draws, too
    np.testing.assert_array_equal(weights(two, 0), first)
    assert not np.array_equal(weights(two, 1), first)
    assert torch.rand(1).item() == wanted


def test_only_a_module_that_draws_is_noticed(two: str) -> None:
    specs = [TensorSpec("", (1, 3, 12, 16))]
    (notice,) = user_subject("drawn_net:at_import", specs, 7).notices
    assert "drawn_net:at_import draws random numbers when it is made (seed 7)" in notice
    assert user_subject("drawn_net:Fixed", specs).notices == ()


def test_a_factory_is_called_once(two: str) -> None:
    subject = user_subject("drawn_net:tune", [TensorSpec("", (1, 3, 12, 16))])
    assert subject.module.scale == 1


def test_a_module_equals_itself_and_its_export_by_its_outputs_names(
    edgeup: Edgeup, two: str
) -> None:
    by_name = ("--rtol", "near:1e-4,far_0:1e-4", "--atol", "1e-5")
    arguments = (*SHAPE, "--kinds", "noise", "--seed", "3", "--format", "json")
    same = edgeup("verify", two, two, *arguments, *by_name)
    assert same.status == 0, same.err
    assert [output["name"] for output in same.json["parity"]] == ["near", "far_0"]
    assert any("draws random numbers" in note for note in same.json["notices"])
    target = ("--target", "cpu", "--seed", "3", "-o", "made")
    made = edgeup("export", two, *SHAPE, *target)
    assert made.status == 0, made.err
    report = json.loads(Path("made/report.json").read_text())
    assert any("draws random numbers" in note for note in report["notices"])
    against = edgeup("verify", two, "made/model.onnx", *arguments, *by_name)
    assert against.status == 0, against.err
    assert not any("no name fits" in note for note in against.json["notices"])
    other = edgeup("verify", two, "made/model.onnx", *SHAPE, "--kinds", "noise", "--seed", "4")
    assert other.status == 1
