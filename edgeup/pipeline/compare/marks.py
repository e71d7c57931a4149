"""Which rows of a comparison are marked, and what each is held against: rows of its own shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgeup.pareto import Costs, marked

Entry = dict[str, Any]


def by_shape(entries: Sequence[Entry]) -> list[list[Entry]]:
    """The rows with one input shape each: a larger picture is not a worse network."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(input_shapes(entry), []).append(entry)
    return list(groups.values())


def input_shapes(entry: Mapping[str, Any]) -> str:
    """As it is read: ``1x3x224x224``."""
    return ", ".join("x".join(map(str, t["shape"])) for t in entry["model"]["inputs"])


def mark_pareto(entries: Sequence[Entry]) -> None:
    """Set ``pareto`` of each, by `edgeup.pareto.marked` among those of its input shape.

    The costs are the error, the latency and, where it counts, the energy of an inference. What
    has no error that is a number is not judged, and not marked.
    """
    whole = energy_counts(entries)
    for group in by_shape(entries):
        judged = [entry for entry in group if entry["error_of_peak"] is not None]
        found = marked([_costs(entry, whole) for entry in judged])
        best = {entry["name"] for entry, good in zip(judged, found, strict=True) if good}
        for entry in group:
            entry["pareto"] = entry["name"] in best


def energy_counts(entries: Sequence[Mapping[str, Any]]) -> bool:
    """Whether it was measured of all, and is above idle: what is not is noise."""
    powers = [entry["power"] for entry in entries]
    return all(power["measured"] and power["energy_per_inference_mj"] > 0 for power in powers)


def _costs(entry: Entry, whole: bool) -> Costs:
    ratio = entry["ratio"]
    energy = entry["power"]["energy_per_inference_mj"] if whole else None
    return Costs(ratio["low"], ratio["high"], entry["error_of_peak"], energy)
