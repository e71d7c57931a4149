"""Every rule of acceptance, in the order in which they are asked."""

from __future__ import annotations

from edgeup.export.capability.contract import Rule
from edgeup.export.capability.rtx.rules import RTX_RULES
from edgeup.export.capability.versions.table import VERSION_RULES

RULES: tuple[Rule, ...] = (*RTX_RULES, *VERSION_RULES)
