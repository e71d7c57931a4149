"""The inputs of a user's own module: which shape is whose, and whether forward takes them."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from edgeup.errors import EdgeupError
from edgeup.pipeline.user_code import from_user_code
from edgeup.spec import TensorSpec

if TYPE_CHECKING:
    from torch import nn

MULTIPLES = (2, 4, 8, 16, 32, 64, 128)
"""By how much networks make their maps smaller, and so of what height and width are multiples."""


def macs_of(reference: str, module: nn.Module, inputs: tuple[TensorSpec, ...]) -> int:
    """Of one forward pass; where it fails, the line names larger images that would do."""
    from edgeup.models.cost import macs

    try:
        return from_user_code(reference, lambda: macs(module, inputs))
    except EdgeupError as error:
        for multiple in MULTIPLES:
            larger = tuple(_rounded_up(spec, multiple) for spec in inputs)
            if larger != inputs and _takes(module, larger):
                shapes = " ".join(f"--shape {_as_given(spec)}" for spec in larger)
                raise EdgeupError(f"{error}; it takes {shapes}") from error
        raise


def _rounded_up(spec: TensorSpec, multiple: int) -> TensorSpec:
    """With height and width that are multiples; as it is where it is no image."""
    if len(spec.shape) != 4:
        return spec
    *others, height, width = spec.static_shape
    return replace(
        spec, shape=(*others, -(-height // multiple) * multiple, -(-width // multiple) * multiple)
    )


def _takes(module: nn.Module, inputs: tuple[TensorSpec, ...]) -> bool:
    from edgeup.models.cost import macs

    try:
        macs(module, inputs)
    except (Exception, SystemExit):  # of the user's code: of any kind
        return False
    return True


def _as_given(spec: TensorSpec) -> str:
    return str(spec) if spec.dtype == "float32" else f"{spec}:{spec.dtype}"


def named_inputs(
    module: nn.Module, shapes: Sequence[TensorSpec], reference: str
) -> tuple[TensorSpec, ...]:
    """Inputs in the order of ``forward``, with its parameters' names where none were given."""
    if not shapes:
        raise EdgeupError(
            f"{reference} needs --shape, once per input of its forward: --shape 1x3x240x320"
        )
    parameters = [
        parameter
        for parameter in inspect.signature(module.forward).parameters.values()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    if any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters):
        return tuple(
            replace(spec, name=spec.name or f"input_{index}") for index, spec in enumerate(shapes)
        )
    names = [parameter.name for parameter in parameters]
    required = [p.name for p in parameters if p.default is inspect.Parameter.empty]
    if not len(required) <= len(shapes) <= len(names):
        raise EdgeupError(
            f"{reference}: forward takes {', '.join(names)}, and {len(shapes)} "
            f"shape{'s were' if len(shapes) != 1 else ' was'} given; give one --shape per input"
        )
    given = [spec.name for spec in shapes if spec.name]
    matching = [name for name in given if name in names]
    if matching and (given != matching or len(set(given)) < len(shapes)):
        strange = [name for name in given if name not in names]
        raise EdgeupError(
            f"{reference}: forward takes {', '.join(names)}, and the shapes name "
            f"{', '.join(strange or given)}; name every input as forward does, or none"
        )
    if matching:
        by_name = {spec.name: spec for spec in shapes}
        order = [name for name in names if name in by_name]
        if order != names[: len(order)]:
            missing = next(name for name in names if name not in by_name)
            raise EdgeupError(f"{reference}: {missing} of forward has no --shape")
        return tuple(by_name[name] for name in order)
    return tuple(  # in the order of forward; other names than its own rename the graph's inputs
        replace(spec, name=spec.name or name)
        for spec, name in zip(shapes, names[: len(shapes)], strict=True)
    )
