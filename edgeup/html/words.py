"""Numbers as people read them: three figures, a unit, a word where there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgeup.digits import shortest

NONE = "–"


def figures(value: float) -> str:
    """Three figures: 0.0123, 1.23, 123, 12,300."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{float(f'{value:.3g}'):,.0f}"


def milliseconds(value: Any) -> str:
    """``238 ms``."""
    return NONE if value is None else f"{figures(float(value))} ms"


def microseconds(value: Any) -> str:
    """In milliseconds from a thousand on."""
    if value is None:
        return NONE
    return milliseconds(value / 1e3) if value >= 1000 else f"{figures(float(value))} µs"


def macs(value: Any) -> str:
    """``2.14 GMACs``, ``40.1 MMACs``."""
    if value is None:
        return NONE
    if value >= 1e9:
        return f"{figures(value / 1e9)} GMACs"
    return f"{figures(value / 1e6)} MMACs" if value else "0"


def megabytes(value: Any) -> str:
    """``90.3 MB``, decimal; kilobytes where it is less than a tenth."""
    if value is None:
        return NONE
    return f"{figures(value / 1e6)} MB" if value >= 1e5 else f"{figures(value / 1e3)} kB"


def small(value: Any) -> str:
    """An error: ``4.82e-05``; nothing where it is not a number."""
    if value is None:
        return NONE
    if isinstance(value, str):
        return value
    return "0" if value == 0 else f"{value:.2e}"


def allowed(tolerance: Mapping[str, Any]) -> str:
    """What an error may be; as a share, where each input has a limit of its own."""
    share = tolerance.get("atol_of_peak")
    limit = f"{small(share)} of each input's peak" if share else small(tolerance["atol"])
    return f"{limit} + {small(tolerance['rtol'])} × |value|"


def quality(value: Any) -> str:
    """Four figures; of what is nearly 1, as many as tell it from 1."""
    return NONE if value is None else shortest(value, 1.0, 4)


def percent(part: float, whole: float) -> str:
    """``12 %``; ``0.3 %`` where it is little."""
    share = 100 * part / whole if whole else 0.0
    return f"{share:.0f} %" if share >= 1 or share == 0 else f"{share:.1f} %"


def change(before: Any, after: Any) -> str:
    """``-44 %`` with a true minus; nothing where one is not known."""
    if not before or after is None:
        return ""
    share = 100 * (after / before - 1)
    return "unchanged" if abs(share) < 0.05 else f"{share:+.3g} %".replace("-", "−")


def count(number: int, noun: str) -> str:
    """``1 site``, ``2 sites``, ``no sites``."""
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def shape(dims: Any) -> str:
    """``1×3×224×224``."""
    return "×".join(str(dim) for dim in dims)


def ratios(to: Sequence[str]) -> str:
    """What the ratios of a comparison are; ``to`` names the reference of each row."""
    references = list(dict.fromkeys(to))
    one = len(references) == 1
    other = references[0] if one else f"the first with its input shape ({'; '.join(references)})"
    return (
        f"ratio: its time over that of {other} in the same round, the median over the rounds; the "
        f"two medians divided may give another number, since a disturbed round moves them alone"
    )
