"""What the target would still refuse, or compute otherwise, of a graph after the passes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgeup.pipeline.verified import aim_at
from edgeup.targets import Target

if TYPE_CHECKING:
    import onnx_ir as ir


def acceptance_section(model: ir.Model, target: Target) -> list[dict[str, Any]]:
    """The report's ``acceptance``: a finding per such node, by the rules of `edgeup check`.

    Empty where the target takes the graph as it is; a target of ONNX Runtime takes all.
    """
    from edgeup.export.capability.check import check_model
    from edgeup.export.capability.contract import Verdict
    from edgeup.pipeline.check import named, with_remedies

    aim = aim_at(target, model.opset_imports.get("", target.opset))
    if not aim.is_tensorrt:
        return []
    model = named(model)
    findings = [f for f in check_model(model, aim) if f.verdict is not Verdict.WARNING]
    return [finding.to_json() for finding in with_remedies(findings, model, aim)]


def acceptance_notices(section: list[dict[str, Any]], target: Target) -> list[str]:
    """A line per rule that is not kept, since such a file is written all the same."""
    nodes: dict[tuple[str, str], list[str]] = {}
    for finding in section:
        words = "refuses" if finding["verdict"] == "refused" else "computes something else for"
        same = nodes.setdefault((words, finding["reason"]), [])
        same.append(f"{finding['op']} {finding['node']}")
    return [
        f"{target.name} {words} {_few(which)}: {reason}" for (words, reason), which in nodes.items()
    ]


def _few(nodes: list[str]) -> str:
    return ", ".join(nodes[:3]) + (f" and {len(nodes) - 3} more" if len(nodes) > 3 else "")
