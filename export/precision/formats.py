"""The two 16-bit formats: what they hold, and arrays rounded to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edgeup.errors import unknown

if TYPE_CHECKING:
    import onnx_ir as ir

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Format:
    """A floating format of 16 bits.

    Attributes:
        name: as the command line writes it.
        onnx: ONNX's name of the element type, in lower case.
        largest: the largest finite value.
        smallest_normal: below it, values lose bits.
        vanishing: half of the smallest subnormal; values up to it round to 0.
        unit: half of a step at 1, the largest relative error of rounding a normal value.
    """

    name: str
    onnx: str
    largest: float
    smallest_normal: float
    vanishing: float
    unit: float

    @property
    def data_type(self) -> ir.DataType:
        """The element type of tensors."""
        import onnx_ir as ir

        return ir.DataType[self.onnx.upper()]

    def rounded(self, array: Array, *, saturate: bool = False) -> Array:
        """The values in this format, rounded to nearest even; too large ones become infinite.

        Args:
            array: float32.
            saturate: the largest finite value instead of infinity, where ``array`` is finite.
        """
        if saturate:
            array = np.where(np.isfinite(array), np.clip(array, -self.largest, self.largest), array)
        with np.errstate(over="ignore"):
            return array.astype(self.data_type.numpy())


# IEEE 754 binary16: 5 bits of exponent, 10 of fraction. bfloat16: 8 and 7.
FP16 = Format("fp16", "float16", 65504.0, 2.0**-14, 2.0**-25, 2.0**-11)
BF16 = Format("bf16", "bfloat16", (2 - 2.0**-7) * 2.0**127, 2.0**-126, 2.0**-134, 2.0**-8)
FORMATS = {form.name: form for form in (FP16, BF16)}


def find_format(precision: str) -> Format:
    """The format of that name.

    Raises:
        EdgeupError: there is none.
    """
    if precision not in FORMATS:
        raise unknown("16-bit precision", precision, FORMATS)
    return FORMATS[precision]
