"""Reads a line of NVIDIA's tegrastats, as JetPack 4 to 7 print it, with and without root.

A line is a row of fields, and what changed over the years is their form: a date in front from
JetPack 5, ``mW`` behind powers from JetPack 5 (bare numbers were milliwatts too), lower-case
sensors from JetPack 6, a third power and a second temperature in JetPack 7.2, one GPU clock or a
list of them. So there is one pattern per kind of field, and each is looked for at each place.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from edgeup.errors import EdgeupError

_LONGEST = 16_384
"""Characters; a real line has some 600. Nothing else that calls itself tegrastats is read."""
_SENSOR_OFF_C = -256.0


@dataclass
class Tegrastats:
    """One line. What it does not tell is None or empty; so is what it tells without a number.

    Attributes:
        ram_mb: used, and there at all.
        cpu: per core the load in percent (None where it is hidden) and the clock in MHz; None
            for a core that is off.
        emc: load of the memory in percent, and its clock in MHz.
        gpu_load: percent.
        gpu_mhz: one clock, or one per graphics processing cluster.
        temperatures: degrees Celsius by sensor; those that are off are left out.
        rails: momentary milliwatts by rail. The line's averages count from tegrastats' own start,
            and are left out; so are channels that are not connected (NC).
        unknown: the words that no pattern fits.
    """

    ram_mb: tuple[int, int] = (0, 0)
    cpu: list[tuple[int | None, int] | None] = field(default_factory=list)
    emc: tuple[int | None, int | None] = (None, None)
    gpu_load: int | None = None
    gpu_mhz: tuple[int, ...] = ()
    temperatures: dict[str, float] = field(default_factory=dict)
    rails: dict[str, int] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)


def parse_tegrastats(line: str) -> Tegrastats:
    """Read one line.

    Raises:
        EdgeupError: it is not one of tegrastats: too long, or without the memory, which stands
            in every one.
    """
    text = line.strip()
    found = Tegrastats()
    at = 0
    while at < len(text) <= _LONGEST:
        for pattern, take in _FIELDS:
            if match := pattern.match(text, at):
                take(found, match)
                break
        else:
            match = _WORD.match(text, at)
            if match is None:  # only spaces are left
                break
            found.unknown.append(match[0].strip())
        at = match.end()
    if found.ram_mb[1] == 0:
        raise EdgeupError(
            f"not a line of tegrastats: {text[:40]!r}; wanted RAM used/totalMB and more fields"
        )
    return found


def _ram(found: Tegrastats, match: re.Match[str]) -> None:
    found.ram_mb = (int(match[1]), int(match[2]))


def _cpu(found: Tegrastats, match: re.Match[str]) -> None:
    for core in match[1].split(","):
        if core.strip() == "off":
            found.cpu.append(None)
        elif read := re.fullmatch(rf"{_LOAD}%@({_INT})", core.strip(), re.ASCII):
            found.cpu.append((_percent(read[1]), int(read[2])))
        else:
            found.unknown.append(core.strip())


def _emc(found: Tegrastats, match: re.Match[str]) -> None:
    found.emc = (_percent(match[1]), int(match[2]) if match[2] else None)


def _gpu(found: Tegrastats, match: re.Match[str]) -> None:
    if match[1] or found.gpu_mhz:  # GR3D2_FREQ repeats the first
        return
    found.gpu_load = _percent(match[2])
    found.gpu_mhz = tuple(
        int(number) for number in re.findall(r"[0-9]+", match[3] or match[4] or "")
    )


def _temperature(found: Tegrastats, match: re.Match[str]) -> None:
    celsius = float(match[2])
    if celsius > _SENSOR_OFF_C:
        found.temperatures[match[1]] = celsius


def _rail(found: Tegrastats, match: re.Match[str]) -> None:
    if match[1] != "NC":
        found.rails[match[1]] = int(match[2])


def _nothing(found: Tegrastats, match: re.Match[str]) -> None:
    """A field that no report needs."""


def _percent(text: str | None) -> int | None:
    return int(text) if text and text != "N" else None


_INT = r"[0-9]{1,9}"
_LOAD = rf"({_INT}|N)"  # N: published lines hide the load so
_CLOCKS = rf"\[{_INT}(?:,{_INT})*\]"
_CELSIUS = r"-?[0-9]{1,4}(?:\.[0-9]{1,6})?"
_POWER = rf"-?{_INT}(?:mW)?"


def _field(
    pattern: str, take: Callable[[Tegrastats, re.Match[str]], None] = _nothing
) -> tuple[re.Pattern[str], Callable[[Tegrastats, re.Match[str]], None]]:
    """A field ends where a space or the line ends."""
    return re.compile(rf"\s*(?:{pattern})(?=\s|$)", re.ASCII), take


_FIELDS = (
    _field(r"[0-9]{2}-[0-9]{2}-[0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2}"),
    _field(rf"RAM ({_INT})/({_INT})MB(?: ?\(lfb {_INT}x{_INT}[kM]B\))?", _ram),
    _field(rf"SWAP {_INT}/{_INT}MB(?: ?\(cached {_INT}MB\))?"),
    _field(rf"IRAM {_INT}/{_INT}[kM]B(?: ?\(lfb {_INT}[kM]B\))?"),
    _field(r"CPU \[([^\]]*)\]", _cpu),
    _field(rf"EMC_FREQ {_LOAD}%(?:@({_INT}))?", _emc),
    # "33%", "33%@1020", "33%@[1020,1020]", and on Thor "@[314,314,314]" without a load.
    _field(rf"GR3D([0-9]?)_FREQ (?:{_LOAD}%)?(?:@(?:({_INT})|({_CLOCKS})))?", _gpu),
    _field(rf"MTS fg {_INT}% bg {_INT}%"),
    _field(rf"([A-Za-z][\w.-]*)@({_CELSIUS})C(?:/{_CELSIUS}C)?", _temperature),
    # After the fields of their own names: any name, "momentary/average" or three powers.
    _field(rf"([A-Za-z][\w.+-]*) (-?{_INT})(?:mW)?(?:/{_POWER}){{1,2}}", _rail),
    # Video, vision, audio: "NVDEC off", "NVJPG1 729", "OFA_FREQ @315", "VIC_FREQ 0%@115".
    _field(rf"[A-Z][A-Z0-9_]* (?:off|(?:{_LOAD}%)?@?(?:{_INT}|{_CLOCKS})|{_LOAD}%)"),
)
_WORD = re.compile(r"\s*\S+")
