"""What is exported: a PyTorch module, its inputs, and what a report says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from edgeup.errors import EdgeupError, MissingPackageError
from edgeup.preprocess import Preprocess
from edgeup.spec import Dim, TensorSpec

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Subject:
    """A module to export.

    Attributes:
        name: a short name, fit for a folder.
        description: one line for people.
        module: in evaluation mode.
        inputs: static shapes, in the order of ``forward``.
        output_names: names of the outputs; None lets the exporter choose.
        facts: the rest of the report's ``model`` section.
        notices: what the user should know.
        spatial_multiple: height and width must be multiples of this.
        preprocess: what is done to a picture before it is the input; None where not known.
        unit: of the first output ("m"); None where it has none.
        decoder: path of the module that the decoder starts with; None where not known.
    """

    name: str
    description: str
    module: nn.Module
    inputs: tuple[TensorSpec, ...]
    output_names: tuple[str, ...] | None
    facts: dict[str, Any]
    notices: tuple[str, ...] = ()
    spatial_multiple: int = 1
    preprocess: Preprocess | None = None
    unit: str | None = None
    decoder: str | None = None


@dataclass(frozen=True)
class Dynamic:
    """Which dimensions of the exported graph stay open."""

    batch: bool = False
    spatial: bool = False

    def __bool__(self) -> bool:
        return self.batch or self.spatial


@dataclass(frozen=True)
class OpenedInputs:
    """Inputs with open dimensions.

    Attributes:
        specs: names in place of numbers.
        other_size: a second size, larger in each open dimension, at which to prove them.
        dims: per open dimension its multiple and the size to trace with.
    """

    specs: tuple[TensorSpec, ...]
    other_size: tuple[TensorSpec, ...] = ()
    dims: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def open_dimensions(subject: Subject, dynamic: Dynamic) -> OpenedInputs:
    """The subject's inputs with ``batch``, ``height`` and ``width`` in place of numbers.

    Every input shares the batch, every image (n c h w) the height and width.

    Raises:
        EdgeupError: no input is an image, or images differ in size.
    """
    if not dynamic:
        return OpenedInputs(subject.inputs)
    names = {0: "batch"} if dynamic.batch else {}
    if dynamic.spatial:
        if not any(len(spec.shape) == 4 for spec in subject.inputs):
            raise EdgeupError("--dynamic spatial needs an input with four dimensions (NCHW)")
        names |= {2: "height", 3: "width"}
    dims: dict[str, tuple[int, int]] = {}
    opened, other = [], []
    for spec in subject.inputs:
        named: list[Dim] = list(spec.shape)
        larger: list[Dim] = list(spec.shape)
        for axis, name in names.items():
            if axis > 0 and len(spec.shape) != 4:
                continue
            size = spec.static_shape[axis]
            step = 1 if axis == 0 else subject.spatial_multiple
            # torch.export takes a size of 1 for a constant, so a batch of 1 is traced as 2.
            traced = (step, max(size, 2))
            if dims.setdefault(name, traced) != traced:
                raise EdgeupError(
                    f"--dynamic: {spec} has another {name} than the inputs before it; inputs "
                    f"that share a dynamic dimension need the same size"
                )
            named[axis], larger[axis] = name, size + step
        opened.append(replace(spec, shape=tuple(named)))
        other.append(replace(spec, shape=tuple(larger)))
    return OpenedInputs(tuple(opened), tuple(other), dims)


def require_torch(purpose: str) -> None:
    """Raise the one clear line where torch is missing.

    Raises:
        MissingPackageError: torch is not installed.
    """
    from importlib.util import find_spec

    if find_spec("torch") is None:
        raise MissingPackageError("torch", "torch", purpose)


def example_arrays(specs: Sequence[TensorSpec], seed: int) -> list[Any]:
    """One seeded array per input, from the one generator of test inputs."""
    from edgeup.runtime.inputs import test_inputs

    case = next(iter(test_inputs(specs, seed, kinds=("natural",))))
    return [case.feeds[spec.name] for spec in specs]
