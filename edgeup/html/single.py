"""The page of one report: its sections in the order in which a reader asks for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edgeup.html import board, verified, words
from edgeup.html.changes import (
    findings,
    in_fp32,
    left_to_the_gpu,
    nvidia,
    refusals,
    rewrites,
)
from edgeup.html.decoder import decoder, stages_of
from edgeup.html.engine import build_errors, engine
from edgeup.html.equality import equality, worst_case
from edgeup.html.markup import Markup, facts, join, tag
from edgeup.html.page import page, section
from edgeup.html.plain import plain
from edgeup.html.roofline import measured_roofline, roofline
from edgeup.html.summary import estimate_of, heading, tiles, title_of
from edgeup.html.times import baseline, latency, layers
from edgeup.html.verdict import verdict

Report = Mapping[str, Any]


def report_page(report: Report) -> bytes:
    """The HTML file of one report, of any verb.

    Raises:
        KeyError, TypeError, ValueError, AttributeError, IndexError: it is not as a verb writes it.
    """
    parts = [
        section(name, title, draw(report))
        for name, title, applies, draw in SECTIONS
        if applies(report)
    ]
    return page(title_of(report), heading(report), verdict(report), tiles(report), *parts)


def _has(key: str) -> Callable[[Report], bool]:
    return lambda report: isinstance(report.get(key), (list, dict))


def _filled(key: str) -> Callable[[Report], bool]:
    return lambda report: bool(report.get(key))


def _gates(report: Report) -> Markup:
    conditions = [str(one) for one in report["gates"]["conditions"]]
    failures = [tag("p", str(line), class_="bad") for line in report["gates"]["failures"]]
    return join(tag("p", "Conditions: ", ", ".join(conditions) or "none"), *failures)


def _precision(report: Report) -> Markup:
    return in_fp32(report) if "in_fp32" in report["precision"] else plain(report["precision"])


def _measured(key: str) -> Callable[[Report], Markup]:
    """A section's figures, or why there are none."""

    def draw(report: Report) -> Markup:
        found = report[key]
        if not found.get("measured", True):
            return tag("p", f"Not measured: {found['reason']}.")
        return plain({key: value for key, value in found.items() if key != "measured"})

    return draw


def _model(report: Report) -> Markup:
    """The file, the network, the target."""
    onnx, model, target = (report.get(key, {}) for key in ("onnx", "model", "target"))
    weights = model.get("weights") or {}
    return facts(
        {
            "network": str(model.get("description") or model.get("name") or ""),
            "weights": " ".join(
                str(weights[k]) for k in ("source", "path", "kind") if k in weights
            ),
            "parameters": f"{model['parameters']:,}" if model.get("parameters") else "",
            "file": str(onnx.get("path") or model.get("path") or ""),
            "sha256": str(onnx.get("sha256") or model.get("sha256") or ""),
            "opset": str(onnx.get("opset") or ""),
            "inputs": _tensors(onnx.get("inputs") or model.get("inputs") or ()),
            "outputs": _tensors(onnx.get("outputs") or ()),
            "operators": ", ".join(f"{op} {n}" for op, n in onnx.get("nodes", {}).items()),
            "target": str(target.get("name") or ""),
            "TensorRT": str(target.get("tensorrt") or ""),
        }
    )


def _tensors(specs: Any) -> str:
    return ", ".join(f"{one['name']} {words.shape(one['shape'])} {one['dtype']}" for one in specs)


def _environment(report: Report) -> Markup:
    """The command that made this, and where it ran."""
    times = report.get("stages_s") or {}
    took = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in times.items())
    return join(
        tag("h3", "Command"),
        tag("pre", str(report.get("command", ""))),
        tag("h3", "Environment"),
        plain(report["environment"]),
        tag("p", f"Took: {took}.", class_="soft") if took else "",
    )


def _has_profiled_layers(report: Report) -> bool:
    return report.get("kind") == "profile" and bool(report["layers"])


def _may_estimate(report: Report) -> bool:
    """An estimate, and exports: they say why they have none."""
    return bool(estimate_of(report)) or "rewrites" in report


SECTIONS: tuple[tuple[str, str, Callable[[Report], bool], Callable[[Report], Markup]], ...] = (
    ("gates", "Limits", lambda r: bool(r.get("gates", {}).get("conditions")), _gates),
    ("stages", "Encoder and decoder, stage by stage", lambda r: bool(stages_of(r)), decoder),
    ("parity", "Parity", _has("parity"), equality),
    ("causes", "What explains the difference", verified.has_causes, verified.causes),
    ("bisect", "Where they part", _filled("bisect"), verified.first_nodes),
    ("fp32", "What must stay fp32", _filled("fp32_nodes"), verified.fp32_nodes),
    ("worst", "The worst case in pictures", _filled("worst_case"), worst_case),
    ("task", "Metrics of the task", verified.has_task, verified.task),
    ("metrics", "All metrics", lambda r: "candidate" in r and bool(r["parity"]), verified.metrics),
    ("errors", "Why nothing was built", _filled("errors"), build_errors),
    ("engine", "Engine", lambda r: "read_back" in r, engine),
    ("latency", "Latency", _filled("latency"), latency),
    ("baseline", "Against the baseline", _filled("baseline"), baseline),
    ("layers", "Time by layer", lambda r: r.get("kind") == "profile", layers),
    ("measured", "Layers and the roofline", _has_profiled_layers, measured_roofline),
    ("roofline", "Estimate for the board", _may_estimate, roofline),
    ("board", "The board", _filled("board"), board.board),
    ("power", "Power and energy", _filled("power"), board.power),
    ("memory", "Memory of the process", _filled("memory"), _measured("memory")),
    (
        *("device-memory", "Memory of the GPU"),
        *(_filled("device_memory"), _measured("device_memory")),
    ),
    ("findings", "What the target does not take", _has("nodes"), findings),
    ("fallbacks", "What the DLA leaves to the GPU", _filled("fallbacks"), left_to_the_gpu),
    ("nvidia", "What NVIDIA's own library says", _filled("nvidia"), nvidia),
    ("rewrites", "What was rewritten, and why", _has("rewrites"), rewrites),
    ("refusals", "What was refused, and why", _has("refusals"), refusals),
    ("precision", "Precision", _filled("precision"), _precision),
    ("sides", "What was compared", lambda r: "candidate" in r, verified.sides),
    ("model", "Model and target", _filled("model"), _model),
    ("environment", "Command and environment", _has("environment"), _environment),
)
"""Name, heading, whether a report has it, what draws it; in the order of the page."""
