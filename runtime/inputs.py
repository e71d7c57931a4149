"""The one generator of test inputs: seeded kinds, each made to reveal a kind of error.

Bits are the same on every machine and NumPy version. Only two things are used that NumPy
promises not to change (NEP 19): raw words of PCG64, and SeedSequence. On them stand float64
additions, multiplications and comparisons, which IEEE 754 defines; no sums, no matmul, no sin.

Every tensor is seen as planes over spatial axes: ``n c h w`` has ``n * c`` planes of ``h w``
(likewise ``n c l`` and ``n c d h w``); a tensor of one or two axes is one plane. Planes differ
from each other, so that exchanged channels or batch items show.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from edgeup.errors import EdgeupError, unknown
from edgeup.spec import Array, Feeds, TensorSpec

_Plane: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """Feeds for one run, and the kind of input they are."""

    kind: str
    feeds: Feeds


def test_inputs(
    specs: Sequence[TensorSpec],
    seed: int,
    kinds: Sequence[str] | None = None,  # noqa: PT028 - not a pytest test, in spite of its name
) -> Iterator[Case]:
    """One case per kind, made when it is asked for.

    Floating inputs lie in [0, 1]; uint8 in 0..255, int8 in 0..127, other integers in 0..7;
    bool is the pattern at or above one half.

    Args:
        specs: the inputs, all dimensions numbers.
        seed: what the random kinds are drawn from, together with the kind and the input's name.
        kinds: names from `KINDS`, in the order wanted; without it, `DEFAULT_KINDS`.

    Raises:
        EdgeupError: a dimension is dynamic or below 1, a dtype is not numeric, no such kind.
            Raised by the call itself, before the first case.
    """
    chosen = tuple(DEFAULT_KINDS if kinds is None else kinds)
    for kind in chosen:
        if kind not in KINDS:
            raise unknown("kind of input", kind, KINDS)
    for spec in specs:
        _refuse_unusable(spec)
    return (
        Case(kind, {spec.name: make_input(spec, seed, kind) for spec in specs}) for kind in chosen
    )


# So that pytest does not collect it in the test files that import it.
test_inputs.__test__ = False  # type: ignore[attr-defined]  # pytest's own protocol


def make_input(spec: TensorSpec, seed: int, kind: str) -> Array:
    """One input of one kind; see `test_inputs`."""
    shape = spec.static_shape
    planes, spatial = (math.prod(shape[:2]), shape[2:]) if len(shape) > 2 else (1, shape)
    words = _Words(seed, f"{kind}/{spec.name}")
    unit = KINDS[kind](planes, spatial, words)
    return _as_dtype(unit.reshape(shape), np.dtype(spec.dtype))


def nudged(feeds: Feeds, seed: int, relative: float = 1e-6) -> Feeds:
    """The feeds with every floating number moved by up to ``relative`` of its tensor's peak.

    1e-6 is about what rounding does to values in the middle of a deep float32 network.
    """
    moved: dict[str, Array] = {}
    for name, array in feeds.items():
        if array.dtype.kind != "f":
            moved[name] = array
            continue
        noise = _Words(seed, f"nudge/{name}").uniform(*array.shape) * 2 - 1
        peak = float(np.abs(array).max(initial=0.0)) or 1.0
        moved[name] = (array + noise * (peak * relative)).astype(array.dtype)
    return moved


def _refuse_unusable(spec: TensorSpec) -> None:
    if not spec.is_static:
        raise EdgeupError(
            f"input {spec} has dynamic dimensions; give their sizes, as in "
            f"--shape {spec.name}:1x3x224x224"
        )
    if any(size < 1 for size in spec.static_shape):
        raise EdgeupError(f"input {spec} is empty: every dimension must be at least 1")
    try:
        usable = np.dtype(spec.dtype).kind in "fiub"
    except TypeError:
        usable = False
    if not usable:
        raise EdgeupError(
            f"input {spec.name} has dtype {spec.dtype}; test inputs can be made for "
            f"floating, integer and bool ones"
        )


def _as_dtype(unit: _Plane, dtype: np.dtype[np.generic]) -> Array:
    if dtype.kind == "f":
        return unit.astype(dtype)
    if dtype.kind == "b":
        return unit >= 0.5
    top = {"uint8": 255.0, "int8": 127.0}.get(dtype.name, 7.0)
    return np.floor(unit * top + 0.5).astype(dtype)


class _Words:
    """Uniform numbers that depend on (seed, label) and on nothing else."""

    def __init__(self, seed: int, label: str) -> None:
        digest = hashlib.sha256(f"{seed}/{label}".encode()).digest()
        self._bits = np.random.PCG64(np.random.SeedSequence(int.from_bytes(digest, "big")))

    def uniform(self, *shape: int) -> _Plane:
        """Values in [0, 1): the upper 53 bits of each word."""
        words: npt.NDArray[np.uint64] = self._bits.random_raw(math.prod(shape))
        unit: _Plane = (words >> np.uint64(11)) * 2.0**-53
        return unit.reshape(shape)

    def below(self, limit: int) -> int:
        """An integer in 0..limit-1."""
        return int(self._bits.random_raw()) % limit


def _noise(planes: int, spatial: tuple[int, ...], words: _Words) -> _Plane:
    """Uniform in [0, 1): every frequency at once; wrong weights, borders and orders all show."""
    return words.uniform(planes, *spatial)


def _ramp(planes: int, spatial: tuple[int, ...], words: _Words) -> _Plane:
    """Linear along every axis: interpolation must reproduce it, and a half-pixel shift adds a
    constant equal to half its slope. Slopes differ per axis and plane, so shifts cannot cancel.
    """
    slopes = 0.25 + 0.75 * words.uniform(planes, max(len(spatial), 1))
    return _weighted_ramp(spatial, slopes)


def _weighted_ramp(spatial: tuple[int, ...], slopes: _Plane) -> _Plane:
    """Planes that rise from 0 at the first corner to 1 at the last."""
    planes = len(slopes)
    ramp = np.zeros((planes, *spatial))
    total = np.zeros(planes)
    for axis, size in enumerate(spatial):
        steps = np.arange(size) / max(size - 1, 1)
        steps = steps.reshape(size, *(1,) * (len(spatial) - axis - 1))
        ramp = ramp + _per_plane(slopes[:, axis], ramp.ndim) * steps
        total = total + slopes[:, axis]
    return ramp / _per_plane(total, ramp.ndim) if spatial else ramp


def _impulse(planes: int, spatial: tuple[int, ...], words: _Words) -> _Plane:
    """A single 1, off centre, elsewhere in each plane: the answer is the kernel itself, so a
    flipped or transposed kernel, a wrong interleave order of phases or a wrong pad shows.
    """
    image = np.zeros((planes, *spatial))
    for plane in range(planes):
        place = tuple(_off_centre(size, words) for size in spatial)
        index = (plane, *place)
        image[index] = 1.0
    return image


def _off_centre(size: int, words: _Words) -> int:
    """An index in the middle half of an axis (so that kernels fit), but not its middle."""
    margin = size // 4
    index = margin + words.below(size - 2 * margin)
    return index + 1 if 2 * index + 1 == size > 1 else index


def _checkerboard(planes: int, spatial: tuple[int, ...], words: _Words) -> _Plane:
    """0 and 1 alternating by pixel, opposite in neighbouring planes: the highest frequency there
    is, so nearest's choice of source pixel and linear's weights show in every output pixel.
    """
    parity = np.arange(planes).reshape(planes, *(1,) * len(spatial))
    for axis, size in enumerate(spatial):
        parity = parity + np.arange(size).reshape(size, *(1,) * (len(spatial) - axis - 1))
    return (parity % 2).astype(np.float64)


def _natural(planes: int, spatial: tuple[int, ...], words: _Words) -> _Plane:
    """Like a photograph: amplitude falls as 1/f (Field 1987), channels are correlated, parts are
    saturated at 0 and at 1, one straight edge. Errors have the size that a user will see.
    """
    shared = _octaves(1, spatial, words)
    own = _octaves(planes, spatial, words)
    edge = _weighted_ramp(spatial, 0.25 + 0.75 * words.uniform(1, max(len(spatial), 1))) > 0.6
    image = 0.8 * shared + 0.2 * own + 0.4 * edge
    low, high = image.min(), image.max()
    if high > low:
        image = (image - low) / (high - low)
    # Stretched by 2 about the middle and clipped: the ends saturate, some percent of the pixels.
    return np.clip(2.0 * image - 0.5, 0.0, 1.0)


def _octaves(planes: int, spatial: tuple[int, ...], words: _Words) -> _Plane:
    """Noise at every scale from the whole plane down to the pixel, each scale interpolated
    linearly from a lattice. A 1/f amplitude spectrum in two dimensions has equal variance in
    every octave, hence equal weights.
    """
    total = np.zeros((planes, *spatial))
    cell = 1
    while cell == 1 or cell < 2 * max(spatial, default=1):
        lattice = words.uniform(planes, *(size // cell + 2 for size in spatial))
        for axis, size in enumerate(spatial, start=1):
            position = np.arange(size) / cell  # exact: cell is a power of two
            before = np.floor(position).astype(np.int64)
            share = (position - before).reshape(size, *(1,) * (len(spatial) - axis))
            low, high = lattice.take(before, axis), lattice.take(before + 1, axis)
            lattice = low + (high - low) * share
        total = total + lattice
        cell *= 2
    return total


def _zeros(planes: int, spatial: tuple[int, ...], words: _Words) -> _Plane:
    """Nothing but 0: what is left is the biases, and a division by the input's own spread."""
    return np.zeros((planes, *spatial))


def _ones(planes: int, spatial: tuple[int, ...], words: _Words) -> _Plane:
    """Nothing but 1: inside, every kernel gives its sum; only padding makes a difference."""
    return np.ones((planes, *spatial))


def _per_plane(values: _Plane, rank: int) -> _Plane:
    return values.reshape(-1, *(1,) * (rank - 1))


KINDS: Mapping[str, Callable[[int, tuple[int, ...], _Words], _Plane]] = {
    "natural": _natural,
    "noise": _noise,
    "ramp": _ramp,
    "impulse": _impulse,
    "checkerboard": _checkerboard,
    "zeros": _zeros,
    "ones": _ones,
}
"""Every kind: planes, spatial sizes and random words to values in [0, 1]."""

CONSTANT_KINDS = ("zeros", "ones")
"""Extremes that no camera gives; asked for by name, since they prove little on their own."""

DEFAULT_KINDS = tuple(kind for kind in KINDS if kind not in CONSTANT_KINDS)
