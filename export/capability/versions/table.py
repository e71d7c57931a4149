"""Every rule about TensorRT by version, in the order in which they are asked.

A node has one finding per verdict, so the most telling rule comes first: what is wrong with this
operator, then that its type is wrong, then that there is no such operator.
"""

from __future__ import annotations

from edgeup.export.capability.contract import Rule
from edgeup.export.capability.versions.bugs import BUG_RULES
from edgeup.export.capability.versions.constants import CONSTANT_RULES
from edgeup.export.capability.versions.conv_transpose import CONV_TRANSPOSE_RULES
from edgeup.export.capability.versions.operators import OPERATOR_RULES
from edgeup.export.capability.versions.others import OTHER_RULES
from edgeup.export.capability.versions.pooling import POOLING_RULES
from edgeup.export.capability.versions.resize import RESIZE_RULES
from edgeup.export.capability.versions.scatter import SCATTER_RULES

VERSION_RULES: tuple[Rule, ...] = (
    *RESIZE_RULES,
    *CONV_TRANSPOSE_RULES,
    *POOLING_RULES,
    *SCATTER_RULES,
    *OTHER_RULES,
    *CONSTANT_RULES,
    *BUG_RULES,
    *OPERATOR_RULES,
)
