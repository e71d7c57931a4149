"""The top of a page: did it pass, and the figures that matter, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edgeup.html import words
from edgeup.html.markup import Markup, join, tag

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
    """The model's name; of a comparison, those of both sides."""
    if "candidate" in report:
        sides = [report[side] for side in ("candidate", "reference")]
        names = [side["name"] for side in sides]
        if names[0] == names[1]:
            names = [side.get("path") or side["name"] for side in sides]
        return " against ".join(names)
    model, onnx = report.get("model", {}), report.get("onnx", {})
    return str(model.get("name") or onnx.get("path") or model.get("path") or "model")


def summary(report: Report) -> Markup:
    """The verdict, and a tile per figure."""
    tiles = [
        tag("li", tag("span", name), tag("b", figure), tag("span", more))
        for name, figure, more in _figures(report)
    ]
    return join(verdict(report), tag("ul", tiles, class_="tiles") if tiles else "")


def verdict(report: Report) -> Markup:
    """Passed or failed, and why."""
    passed = report.get("passed", report.get("accepted"))
    if passed is None:
        said = "An estimate: nothing was run." if report.get("kind") == "estimate" else "Report."
        return tag("div", tag("p", tag("strong", said)), class_="verdict")
    head = tag("strong", "Passed" if passed else "FAILED", class_="good" if passed else "bad")
    reasons = [tag("p", line) for line in reasons_of(report)]
    return tag("div", tag("p", head), *reasons, class_="verdict" if passed else "verdict failed")


def reasons_of(report: Report) -> Iterator[str]:
    """What the verdict rests on, a sentence each."""
    for output in report.get("parity", ()):
        yield parity_words(output)
    if not report.get("parity") and "parity" in report:
        yield "Nothing was compared, so nothing is proven."
    verdicts = [node["verdict"] for node in report.get("nodes", ())]  # of `edgeup check`
    for verdict, said in (("refused", "refused"), ("different", "taken, but computed otherwise")):
        if found := verdicts.count(verdict):
            yield f"The target: {words.count(found, 'node')} {said}."
    gates: Any = report.get("gates")
    yield from map(str, gates["failures"] if isinstance(gates, Mapping) else ())
    precision = report.get("precision")
    if isinstance(precision, Mapping) and "asked" in precision:
        yield f"Precision: {precision['asked']}; {_kept(precision)}."


def parity_words(output: Report) -> str:
    """One output: how far off, how far it may be."""
    name = output["name"]
    if output.get("reason"):
        return f"Output {name} could not be compared: {output['reason']}."
    error, tolerance = words.small(output["max_abs"]), output["tolerance"]
    allowed = f"{words.small(tolerance['atol'])} + {words.small(tolerance['rtol'])} × |value|"
    cases = output.get("cases", ())
    kinds = f" on {words.count(len(cases), 'input')}" if cases else ""
    if output["passed"]:
        return (
            f"Output {name} is equal within tolerance{kinds}: at most {error} off, where "
            f"{allowed} is allowed."
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


def _kept(precision: Report) -> str:
    if "in_fp32" in precision:  # of `edgeup check`, which converts nothing
        return f"{words.count(len(precision['in_fp32']), 'node')} would stay in fp32"
    kept: Any = precision.get("kept", precision.get("keep_fp32", ()))
    return f"{words.count(len(kept), 'node')} kept in fp32"


def _figures(report: Report) -> Iterator[tuple[str, str, str]]:
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


def _where(latency: Report) -> str:
    spread = f", p99 {words.milliseconds(latency['p99_ms'])}" if "p99_ms" in latency else ""
    return f"{latency['device']}{spread}; {words.count(latency['iterations'], 'run')}"


def estimate_of(report: Report) -> Report:
    """The report's estimate; a report of `edgeup estimate` is one itself."""
    found: Any = report if report.get("kind") == "estimate" else report.get("estimate")
    return found if isinstance(found, Mapping) and "total" in found else {}
