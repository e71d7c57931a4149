"""The top of a page: what it is about, and the figures that matter."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from edgeup.html import words
from edgeup.html.markup import NOTHING, Markup, join, tag

Report = Mapping[str, Any]


def heading(report: Report) -> Markup:
    """What this is about, and when."""
    model = report.get("model", {})
    said = str(model.get("description") or "")
    about = [said] if said else []
    if "target" in report:
        about.append(f"for {report['target']['name']}")
    if report.get("created"):
        about.append(str(report["created"]))
    return join(
        tag("h1", title_of(report)), tag("p", " · ".join(about), class_="soft") if about else ""
    )


def title_of(report: Report) -> str:
    """The model's name, or its file; of a comparison, those of both sides."""
    if "candidate" in report:
        sides = [report[side] for side in ("candidate", "reference")]
        names = [side["name"] for side in sides]
        if names[0] == names[1]:
            names = [side.get("path") or side["name"] for side in sides]
        return " against ".join(names)
    model, onnx = report.get("model", {}), report.get("onnx", {})
    if versus := report.get("versus"):
        return f"{model['path']} against {versus['model']['path']}"
    return str(model.get("path") or model.get("name") or onnx.get("path") or "model")


def tiles(report: Report) -> Markup:
    """A tile per figure."""
    found = [
        tag("li", tag("span", name), tag("b", figure), tag("span", more))
        for name, figure, more in _figures(report)
    ]
    return tag("ul", found, class_="tiles") if found else NOTHING


def parity_words(output: Report) -> str:
    """One output: how far off, how far it may be."""
    name = output["name"]
    if output.get("reason"):
        return f"Output {name} could not be compared: {output['reason']}."
    error, allowed = words.small(output["max_abs"]), words.allowed(output["tolerance"])
    cases = output.get("cases", ())
    judging = [case for case in cases if not case.get("unstable")]
    kinds = f" on {words.count(len(judging or cases), 'input')}" if cases else ""
    if output["passed"]:
        excused = ""
        if judging and len(judging) < len(cases):
            error = words.small(max(case["max_abs"] for case in judging))
            others = ", ".join(case["kind"] for case in cases if case.get("unstable"))
            excused = f" On {others}, rounding decides, and nothing is judged."
        return (
            f"Output {name} is equal within tolerance{kinds}: at most {error} off, where "
            f"{allowed} is allowed.{excused}"
        )
    if output["needed"].get("atol") is None:
        return (
            f"Output {name} is not equal{kinds}: one side alone holds NaN or infinity, which no "
            f"tolerance allows."
        )
    needed = words.small(output["needed"]["atol"])
    return (
        f"Output {name} is not equal{kinds}: {error} off, allowed is {allowed}; "
        f"an absolute tolerance of {needed} would be needed."
    )


def _figures(report: Report) -> Iterator[tuple[str, str, str]]:
    yield from _of_verify(report)
    latency = report.get("latency", {})
    if "median_ms" in latency:
        yield "Median latency", words.milliseconds(latency["median_ms"]), _where(latency)
    elif "not_measured" in latency:
        yield "Latency", "not measured", str(latency["not_measured"])
    if (total := estimate_of(report).get("total")) is not None:
        gpu = estimate_of(report)["gpu"]
        about = f"{gpu['title']}, {gpu['power_mode']}, {gpu['precision']}; nothing was run there"
        yield "Estimate, not measured", words.milliseconds(total["estimate_ms"]), about
    onnx, model = report.get("onnx", {}), report.get("model", {})
    before, after = model.get("macs"), onnx.get("macs", model.get("macs"))
    if report.get("kind") == "estimate":
        after = report["total"]["macs"]
    if after is not None:
        more = "per run"
        if before and before != after:
            more = f"{words.change(before, after)} from {words.macs(before)} as written"
        yield "Work", words.macs(after), more
    size = onnx.get("bytes", model.get("bytes"))
    if size is not None:
        parts = onnx.get("data", {}).get("bytes", 0)
        nodes = sum(onnx.get("nodes", {}).values())
        yield "Size", words.megabytes(size + parts), words.count(nodes, "node") if nodes else ""
    if "rewrites" in report:
        done = [site for site in report["rewrites"] if site["form"] != "as written"]
        left = len(report["refusals"])
        refused = f"{words.count(left, 'near miss')} left alone".replace("misss", "misses")
        yield "Rewritten", words.count(len(done), "site"), refused
    power: Any = report.get("power")
    if isinstance(power, Mapping):
        energy = power.get("energy_per_inference_mj")
        figure = "not measured" if energy is None else f"{words.figures(energy)} mJ"
        yield "Energy per inference", figure, str(power.get("total") or power.get("reason") or "")


def _of_verify(report: Report) -> Iterator[tuple[str, str, str]]:
    """Of the output that is nearest to its tolerance, or furthest beyond it."""
    outputs = [one for one in report.get("parity", ()) if one.get("max_abs") is not None]
    if "candidate" not in report or not outputs:
        return
    worst = max(outputs, key=_badness)
    name = f"output {worst['name']}"
    allowed = f"{name}; allowed: {words.allowed(worst['tolerance'])}"
    excused = any(case.get("unstable") for case in worst["cases"])
    more = "; also where rounding decides" if excused else ""
    yield "Largest error", words.small(worst["max_abs"]), f"{allowed}{more}"
    beyond = f"of {worst['elements']:,} elements of {name}"
    yield "Beyond the tolerance", f"{worst['mismatches']:,}", beyond
    if worst["psnr"] is not None:
        yield "PSNR", f"{worst['psnr']:.1f} dB", name
    for metric, value in (worst["task"] or {}).items():
        if isinstance(value, (int, float)):
            against = f"{report['task']}, of {name}, against the reference"
            yield metric, words.quality(value), against


def _badness(output: Report) -> tuple[bool, float]:
    """By the error in units of what is allowed; text stands for what is not finite."""
    error, allowed = output["max_abs"], output["tolerance"]["atol"]
    if isinstance(error, str) or isinstance(allowed, str):
        return not output["passed"], math.inf
    return not output["passed"], error / allowed if allowed else error


def _where(latency: Report) -> str:
    spread = f", p99 {words.milliseconds(latency['p99_ms'])}" if "p99_ms" in latency else ""
    return f"{latency['device']}{spread}; {words.count(latency['iterations'], 'run')}"


def estimate_of(report: Report) -> Report:
    """The report's estimate; a report of `edgeup estimate` is one itself."""
    found: Any = report if report.get("kind") == "estimate" else report.get("estimate")
    return found if isinstance(found, Mapping) and "total" in found else {}
