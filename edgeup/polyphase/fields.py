"""Checks and defaults of the forms' fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from edgeup.errors import EdgeupError
from edgeup.polyphase import taps
from edgeup.spec import Array

Ints: TypeAlias = tuple[int, ...]


def halves(both: Sequence[int]) -> tuple[Ints, Ints]:
    """``pads`` or ``crops`` as their begins and their ends."""
    middle = len(both) // 2
    return tuple(both[:middle]), tuple(both[middle:])


def extents(weight: Array, dilations: Sequence[int]) -> Ints:
    """How far a kernel reaches along each axis: ``d (k - 1) + 1``."""
    kernel = weight.shape[taps.FIRST_SPATIAL :]
    return tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True))


def spatial_axes(weight: Array) -> int:
    """The number of a kernel's spatial axes, once it is known to be a kernel."""
    if weight.ndim <= taps.FIRST_SPATIAL or weight.size == 0:
        raise EdgeupError(
            f"kernel of shape {weight.shape}: wanted two channel axes, "
            f"then one or more spatial axes, none of them empty"
        )
    if weight.dtype.kind in "iub":
        raise EdgeupError(f"kernel of {weight.dtype}: wanted floating point; dequantize it first")
    return weight.ndim - taps.FIRST_SPATIAL


def complete(form: object, name: str, count: int, default: int, least: int | None = None) -> None:
    """Fill an empty field with its default, and hold a given one to its length and range."""
    numbers = tuple(int(n) for n in getattr(form, name)) or (default,) * count
    check_numbers(name, numbers, count, least)
    object.__setattr__(form, name, numbers)  # the class is frozen to everyone else


def check_numbers(name: str, numbers: Sequence[int], count: int, least: int | None) -> None:
    """Raise unless there are ``count`` numbers, none below ``least``."""
    if len(numbers) != count or (least is not None and any(n < least for n in numbers)):
        bound = "" if least is None else f" of at least {least}"
        raise EdgeupError(f"{name} {list(numbers)}: wanted {count} numbers{bound}")


def check_channels(grouped: int, group: int, bias: Array | None, outputs: int) -> None:
    """Raise unless the groups and the bias fit the kernel's channels."""
    if group < 1 or grouped % group:
        raise EdgeupError(f"group {group} does not divide the kernel's {grouped} channels")
    if bias is not None and bias.shape != (outputs,):
        raise EdgeupError(f"bias of shape {bias.shape}: wanted {(outputs,)}, one per channel")


def positive(output: Sequence[int], spatial: Sequence[int]) -> Ints:
    """The extents of an output, if it has any."""
    if any(n < 1 for n in output):
        raise EdgeupError(
            f"input {tuple(spatial)} is too small: its output would be {tuple(output)}"
        )
    return tuple(output)
