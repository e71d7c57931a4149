"""The page of one report: its sections in the order in which a reader asks for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edgeup.html import words
from edgeup.html.changes import findings, refusals, rewrites
from edgeup.html.decoder import decoder, stages_of
from edgeup.html.equality import equality, first_nodes, worst_case
from edgeup.html.markup import Markup, facts, join, tag
from edgeup.html.page import page, section
from edgeup.html.roofline import roofline
from edgeup.html.summary import estimate_of, heading, summary, title_of
from edgeup.html.times import latency, layers

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
    return page(title_of(report), heading(report), summary(report), *parts)


def _has(key: str) -> Callable[[Report], bool]:
    return lambda report: isinstance(report.get(key), (list, dict))


def _filled(key: str) -> Callable[[Report], bool]:
    return lambda report: bool(report.get(key))


def _notices(report: Report) -> Markup:
    return tag("ul", [tag("li", str(notice)) for notice in report["notices"]])


def _gates(report: Report) -> Markup:
    conditions = [str(one) for one in report["gates"]["conditions"]]
    failures = [tag("p", str(line), class_="bad") for line in report["gates"]["failures"]]
    return join(tag("p", "Conditions: ", ", ".join(conditions) or "none"), *failures)


def _precision(report: Report) -> Markup:
    return _plain(report["precision"])


def _power(report: Report) -> Markup:
    power = report["power"]
    if not power.get("measured", True):
        return tag("p", f"Not measured: {power['reason']}.")
    return _plain(power)


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
        _plain(report["environment"]),
        tag("p", f"Took: {took}.", class_="soft") if took else "",
    )


def _plain(document: Report) -> Markup:
    """Names and values; what is nested is counted, or written in one line."""
    return facts({str(key).replace("_", " "): _said(value) for key, value in document.items()})


def _said(value: Any) -> str:
    if value is None or value == [] or value == {}:
        return ""
    if isinstance(value, dict):
        return ", ".join(f"{k} {_said(v)}" for k, v in value.items() if not isinstance(v, list))
    if isinstance(value, list):
        if all(isinstance(one, (str, int, float)) for one in value):
            return ", ".join(_said(one) for one in value)
        return f"{len(value)} entries"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


SECTIONS: tuple[tuple[str, str, Callable[[Report], bool], Callable[[Report], Markup]], ...] = (
    ("gates", "Limits", lambda r: bool(r.get("gates", {}).get("conditions")), _gates),
    ("stages", "Encoder and decoder, stage by stage", lambda r: bool(stages_of(r)), decoder),
    ("parity", "Parity", _has("parity"), equality),
    ("bisect", "Where they part", _filled("bisect"), first_nodes),
    ("worst", "The worst case in pictures", _filled("worst_case"), worst_case),
    ("latency", "Latency", _filled("latency"), latency),
    ("layers", "Time by layer", lambda r: isinstance(r.get("layers"), dict), layers),
    ("roofline", "Estimate for the board", lambda r: bool(_estimated(r)), roofline),
    ("power", "Power", _filled("power"), _power),
    ("findings", "What the target does not take", _has("nodes"), findings),
    ("rewrites", "What was rewritten, and why", _has("rewrites"), rewrites),
    ("refusals", "What was refused, and why", _has("refusals"), refusals),
    ("precision", "Precision", _filled("precision"), _precision),
    (
        "notices",
        "Notices",
        lambda r: r.get("kind") != "estimate" and bool(r.get("notices")),
        _notices,
    ),
    ("model", "Model and target", _filled("model"), _model),
    ("environment", "Command and environment", _has("environment"), _environment),
)
"""Name, heading, whether a report has it, what draws it; in the order of the page."""


def _estimated(report: Report) -> Report:
    return estimate_of(report) or report.get("estimate") or {}
