"""An engine: what built it, for what, and whether its layers are as asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeup.html import words
from edgeup.html.markup import Markup, facts, join, table, tag
from edgeup.html.page import page, section
from edgeup.html.plain import plain

Report = Mapping[str, Any]

_PACKAGES = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT for RTX"}


def is_sidecar(document: Report) -> bool:
    """Whether it is what lies beside an engine, and not the report of `edgeup build`."""
    return "read_back" in document and document.get("kind") != "build"


def engine_page(sidecar: Report) -> bytes:
    """The page of what lies beside an engine."""
    title = f"Engine for {sidecar['target']}"
    precision = {"built": str(sidecar["precision"]), "kept fp32": sidecar["kept_fp32"]}
    look, said = _verdict(sidecar["read_back"])
    return page(
        title,
        tag("h1", title),
        tag("p", f"{sidecar['precision']} · {sidecar['created']}", class_="soft"),
        tag("p", said, class_=look),
        section("engine", "Engine", engine(sidecar)),
        section("precision", "Precision", plain(precision)),
        section("options", "How it was built", plain(sidecar["options"])),
    )


def engine(report: Report) -> Markup:
    """What built it, what from, and what its layers were read back as."""
    built, tensorrt, device = report.get("engine") or {}, report["tensorrt"], report["device"] or {}
    target = report["target"]
    back = report["read_back"]
    look, said = _verdict(back)
    size = words.megabytes(built["bytes"]) if "bytes" in built else ""
    of_macs = "" if back["fp16_share"] is None else f"{back['fp16_share']:.1%} of the MACs"
    return join(
        facts(
            {
                "file": str(built.get("path") or ""),
                "size": size,
                "sha256": str(built.get("sha256") or ""),
                "built from": f"{report['onnx'].get('path', '')} {report['onnx']['sha256']}",
                "by": f"{_PACKAGES.get(tensorrt['package'], tensorrt['package'])} "
                f"{tensorrt['version']}, {words.figures(report['build_s'])} s",
                "on": ", compute capability ".join(
                    str(device[key]) for key in ("name", "compute_capability") if device.get(key)
                ),
                "target": str(target["name"] if isinstance(target, Mapping) else target),
                "layers": f"{back['layers']}, of which {back['compared']} compared",
                "fp16": of_macs,
            }
        ),
        tag("p", said, class_=look),
        _downgrades(back["downgrades"]),
    )


def _verdict(back: Report) -> tuple[str, str]:
    """How it looks, and what it says."""
    if not back["verified"]:
        return "warn", f"Its layers were not compared with what was asked: {back['why']}."
    return ("good", "Its layers are as asked.") if back["passed"] else ("bad", _NOT_AS_ASKED)


_NOT_AS_ASKED = "Layers are not as asked."


def _downgrades(rows: Any) -> Markup | str:
    if not rows:
        return ""
    keys = ("layer", "asked", "got", "reason")
    return table(
        keys, [[str(row[key]) for key in keys] for row in rows], left=4, label="Downgraded layers"
    )


def build_errors(report: Report) -> Markup:
    """What the parser or the builder said."""
    keys = ("stage", "op", "node", "reason")
    rows = [[str(row[key]) for key in keys] for row in report["errors"]]
    return table(keys, rows, left=4, label="Errors of the build")
