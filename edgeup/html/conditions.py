"""What was asked for when a report's figures were found, and what it was asked with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from edgeup.html import words
from edgeup.html.summary import estimate_of

Report = Mapping[str, Any]

_NAMED = 7
"""Of a list; as many as there are kinds of seeded input."""


def conditions(report: Report) -> dict[str, Any]:
    """By name; what a report does not tell is None, and what does not apply to it is left out."""
    ran = {**(report.get("setting") or {}), **(report.get("latency") or {})}
    jetson = (report.get("board") or {}).get("jetson") or {}
    inputs = report.get("inputs") or {}
    sides = {side: report.get(side) or {} for side in ("reference", "candidate")}
    parity = report.get("parity") or ()
    gpu = estimate_of(report).get("gpu", {})
    return {
        "device": ran.get("device"),
        "backend": ran.get("backend"),
        "number of threads": ran.get("threads"),
        "number of streams": ran.get("streams"),
        "use of CUDA graphs": ran.get("cuda_graph"),
        "counting of copies": ran.get("data_transfers"),
        "power mode": jetson.get("power_mode"),
        **({"way of measuring": ran["measured"]} if "measured" in ran else {}),
        "input shape": input_shapes(report),
        "board of the estimate": gpu.get("board"),
        "power mode of the estimate": gpu.get("power_mode"),
        "reference": _reference(report),
        "precision of the reference": sides["reference"].get("precision"),
        "outputs": _listed(output["name"] for output in parity),
        # Those that were shown: with --fail-fast, not all that were asked for.
        "inputs": _listed(case["kind"] for output in parity for case in output.get("cases", ())),
        "files of inputs": _files(inputs),
        "preprocessing": inputs.get("preprocess"),
        "seed": inputs.get("seed"),
        **{  # of a side in 16 bits; one in 32 bits is as its results are
            f"rounding of the {side}": one["rounding"]
            for side, one in sides.items()
            if "rounding" in one
        },
    }


def input_shapes(report: Report) -> str | None:
    """``1×3×224×224 float32``; None where they are not told."""
    model: Any = report.get("model") or {}
    specs = model.get("inputs") or (report.get("inputs") or {}).get("inputs")
    if specs is None:
        return None
    return ", ".join(f"{words.shape(spec['shape'])} {spec['dtype']}" for spec in specs)


def said(value: Any) -> str:
    """A condition, for people; of a long list the beginning."""
    if value is None:
        return "not told"
    if not isinstance(value, tuple):
        return str(value)
    more = f" and {len(value) - _NAMED} more" if len(value) > _NAMED else ""
    return ", ".join(value[:_NAMED]) + more


def _listed(names: Any) -> tuple[str, ...] | None:
    return tuple(dict.fromkeys(map(str, names))) or None


def _files(inputs: Mapping[str, Any]) -> tuple[str, ...] | None:
    """By their contents: they may lie elsewhere now, or be others under the same name."""
    names, digests = inputs.get("files") or (), inputs.get("sha256") or ()
    if len(names) != len(digests):
        return _listed(names)
    pairs = zip(names, digests, strict=True)
    return _listed(f"{PurePath(name).name} ({digest[:8]})" for name, digest in pairs)


def _reference(report: Report) -> str | None:
    """What the outputs were compared with: of an export, the module that was exported.

    A file by the start of its hash; a network by its name and weights.
    """
    side = report.get("reference") or (report.get("model") if report.get("parity") else None)
    if not side:
        return None
    if "weights" not in side and side.get("sha256") is not None:
        return str(side["sha256"])[:12]
    return ", ".join(filter(None, (side.get("name"), _weights(side.get("weights") or {}))))


def _weights(weights: Mapping[str, Any]) -> str | None:
    if weights.get("sha256") is not None:
        return f"weights {str(weights['sha256'])[:12]}"
    if weights.get("source") == "random":
        return f"random weights of seed {weights.get('seed')}"
    return None if "source" not in weights else f"weights of {weights.get('path', 'its own')}"
