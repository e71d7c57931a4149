"""Which Jetson this is: board, L4T, JetPack, power mode, and what its TensorRT was made for."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgeup.runtime.machine import Machine

Version = tuple[int, int, int]

# First and last L4T, and the JetPack. Sources: version table of jetson_stats, recipes of
# meta-tegra. Where releases between two known ones were not read one by one, the span is given.
_JETPACKS: tuple[tuple[Version, Version, str], ...] = (
    ((32, 6, 1), (32, 6, 1), "4.6"),
    ((32, 7, 1), (32, 7, 1), "4.6.1"),
    ((32, 7, 2), (32, 7, 5), "4.6.2 to 4.6.5"),
    ((32, 7, 6), (32, 7, 6), "4.6.6"),
    ((34, 1, 0), (34, 1, 0), "5.0"),
    ((35, 1, 0), (35, 1, 0), "5.0.2"),
    ((35, 2, 1), (35, 2, 1), "5.1"),
    ((35, 3, 1), (35, 3, 1), "5.1.1"),
    ((35, 4, 1), (35, 4, 1), "5.1.2"),
    ((35, 5, 0), (35, 6, 3), "5.1.3 to 5.1.6"),
    ((35, 6, 4), (35, 6, 4), "5.1.6"),
    ((36, 3, 0), (36, 3, 0), "6.0"),
    ((36, 4, 0), (36, 4, 2), "6.1"),
    ((36, 4, 3), (36, 4, 3), "6.2"),
    ((36, 4, 4), (36, 4, 7), "6.2.1"),
    ((36, 5, 0), (36, 5, 0), "6.2.2"),
    ((38, 2, 0), (38, 2, 2), "7.0"),
    ((38, 4, 0), (38, 4, 0), "7.1"),
    ((39, 2, 0), (39, 2, 0), "7.2"),
    ((39, 2, 1), (39, 2, 1), "7.2.1"),
)


@dataclass(frozen=True)
class Jetson:
    """A Jetson board; a field is None where the board does not tell or it is not known."""

    board: str
    l4t: str | None
    jetpack: str | None
    power_mode: str | None
    power_mode_id: int | None = None


def find_jetson(machine: Machine) -> Jetson | None:
    """The Jetson that this machine is, if it is one.

    A container on a Jetson may hide ``/etc/nv_tegra_release``, a custom carrier board may carry
    its own name: either of L4T and an NVIDIA device tree is enough.
    """
    # Device-tree properties end with NUL, lists hold one after each entry.
    board = machine.read("proc/device-tree/model").split("\0")[0].strip()
    compatible = machine.read("proc/device-tree/compatible")
    l4t = _l4t(machine)
    if l4t is None and "jetson" not in board.lower() and "nvidia,tegra" not in compatible:
        return None
    mode_id, mode = stored_power_mode(machine)
    if mode is None:
        mode_id, mode = _asked_power_mode(machine)
    return Jetson(
        board=board or "unknown Jetson",
        l4t=None if l4t is None else ".".join(str(part) for part in l4t),
        jetpack=None if l4t is None else jetpack_of(l4t),
        power_mode=mode,
        power_mode_id=mode_id,
    )


def jetpack_of(l4t: Version) -> str | None:
    """The JetPack that brought a version of L4T; a span where several did, None if unknown."""
    for first, last, jetpack in _JETPACKS:
        if first <= l4t <= last:
            return jetpack
    return None


def _l4t(machine: Machine) -> Version | None:
    release = machine.read("etc/nv_tegra_release")
    match = re.search(r"# R(\d+) \(release\), REVISION: (\d+)\.(\d+)", release)
    if match is None:
        command = ["dpkg-query", "--showformat=${Version}", "--show", "nvidia-l4t-core"]
        match = re.match(r"(\d+)\.(\d+)\.(\d+)", machine.run(command) or "")
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def stored_power_mode(machine: Machine) -> tuple[int | None, str | None]:
    """nvpmodel's id and name by its status file and table.

    The same id is another mode on another board, so that the name is what matters.
    """
    status = re.search(r"pmode:0*(\d{1,4})", machine.read("var/lib/nvpmodel/status"))
    if status is None:
        return None, None
    table = machine.read("etc/nvpmodel.conf")
    entry = re.search(rf"<\s*POWER_MODEL\s+ID=0*{status[1]}\s+NAME=(\S+?)\s*>", table)
    return int(status[1]), entry[1] if entry else f"mode {status[1]}"


def _asked_power_mode(machine: Machine) -> tuple[int | None, str | None]:
    """nvpmodel's id and name by its own command."""
    answer = machine.run(["nvpmodel", "-q"]) or ""
    found = re.search(r"NV Power Mode:[ \t]*(\S+)(?:\s+(\d{1,4})\b)?", answer)
    if found is None:
        return None, None
    return int(found[2]) if found[2] else None, found[1]
