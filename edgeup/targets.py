"""What a deployment target reads: a Jetson board, a JetPack, a TensorRT, or the CPU here.

A target is written ``jetpack-6.2``, ``trt-10.3``, ``orin-nano-8gb``, a board with either
(``orin-nano-8gb@6.2``, ``agx-orin-64gb@trt-11.4``), ``rtx`` or ``cpu``. A board alone takes its
newest JetPack: for every Orin that is 7.2, the first release for both Orin and Thor.

The facts are in ``data/targets.json`` and ``data/boards.json``, each with its source;
``unverified`` names the fields for which none was read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from edgeup.boards import BOARD_ALIASES, Board, Dla, all_boards, find_board, major_minor
from edgeup.errors import EdgeupError, unknown

OLDEST_OPSET = 13
"""What TensorRT 8.0 to 8.2 read (onnx-tensorrt docs/operators.md): no target reads less."""
_NEWEST_WRITTEN = 20


@dataclass(frozen=True)
class Target:
    """A place where a model will run.

    ``opset`` is what edgeup writes for it, ``opset_max`` the newest it reads; ``ir_version`` is
    the one that onnx published with ``opset``. Version fields are None where there is none.

    Attributes:
        boards: those with that JetPack or TensorRT; the one, where a board was named.
        board: the one that was named.
        precisions: that its TensorRT takes; of a JetPack or a board, those that it also runs.
        api: how Python addresses an engine's inputs and outputs: "bindings" (by index), "names",
            or "both"; None where there is no engine.
        typing: whether a network's own types bind the builder: "weak", "either" (strong when
            asked for) or "strong"; None where there is no builder.
    """

    name: str
    backend: str
    jetpack: str | None
    l4t: str | None
    tensorrt: str | None
    cuda: str | None
    python: str | None
    opset: int
    opset_max: int
    ir_version: int
    precisions: tuple[str, ...]
    api: str | None
    typing: str | None
    boards: tuple[str, ...]
    board: Board | None
    sources: Mapping[str, str]
    unverified: tuple[str, ...]

    @property
    def version(self) -> tuple[int, int] | None:
        """TensorRT's (major, minor)."""
        return None if self.tensorrt is None else major_minor(self.tensorrt)

    @property
    def strongly_typed_only(self) -> bool:
        """Whether there are no precision flags any more: the graph's types are the engine's."""
        return self.typing == "strong"

    @property
    def has_strong_typing(self) -> bool:
        """Whether a network can be built so that its own types are the engine's."""
        return self.typing in ("either", "strong")

    @property
    def dla(self) -> Dla | None:
        """The board's accelerators, where this TensorRT drives them."""
        if self.board is None or self.board.dla is None or self.version is None:
            return None
        return self.board.dla if self.board.dla.runs_with(self.version) else None

    def to_json(self) -> dict[str, Any]:
        """The fields, as a report holds them; of a board its name and compute capability."""
        fields = asdict(self)
        if (board := self.board) is not None:
            fields |= {"board": board.name, "compute_capability": board.compute_capability}
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in fields.items()
        }

    def choose_opset(self, wanted: int | None) -> tuple[int, int]:
        """The opset and IR version to write: this target's own, or a user's wish within reach.

        Raises:
            EdgeupError: the target does not read the wanted opset, or edgeup does not write it.
        """
        if wanted is None or wanted == self.opset:
            return self.opset, self.ir_version
        if not OLDEST_OPSET <= wanted <= self.opset_max:
            raise EdgeupError(
                f"opset {wanted} is out of reach: {self.name} reads up to {self.opset_max}, and "
                f"edgeup writes {OLDEST_OPSET} or newer; leave --opset out for {self.opset}"
            )
        return wanted, ir_version_of(wanted)


def ir_version_of(opset: int) -> int:
    """The IR version that onnx published with an opset (onnx.helper.VERSION_TABLE).

    Raises:
        EdgeupError: the opset is not in the table.
    """
    for newest, ir_version in ((14, 7), (18, 8), (20, 9), (22, 10), (23, 11), (24, 12)):
        if opset <= newest:
            return ir_version
    raise EdgeupError(f"opset {opset} is newer than any that a target reads (24)")


@cache
def _document() -> Mapping[str, Any]:
    text = (files("edgeup") / "data" / "targets.json").read_text(encoding="utf-8")
    document: Mapping[str, Any] = json.loads(text)
    return document


def sources() -> Mapping[str, str]:
    """The sources that the targets' facts cite, by their short names."""
    cited: Mapping[str, str] = _document()["_sources"]
    return cited


def default_target() -> str:
    """The target of `edgeup export` when the user names none."""
    name: str = _document()["default"]
    return name


@cache
def all_targets() -> tuple[Target, ...]:
    """Every target with a name of its own, in the order in which `edgeup list targets` has them."""
    return (
        *(_make(entry["name"], entry, {}, []) for entry in _document()["hosts"]),
        *(_on_jetpack(entry) for entry in _document()["jetpacks"]),
        *(_on_tensorrt(entry) for entry in _document()["tensorrt"]),
        *(_newest(board) for board in all_boards()),
    )


def find_target(name: str) -> Target:
    """The target of that name; a board may be followed by ``@`` and a JetPack or a TensorRT.

    Raises:
        EdgeupError: there is none, or the pair is impossible; the message holds the nearest
            names, or the pairs that are possible.
    """
    text = name.lower()
    board_name, at, software = text.partition("@")
    if at:
        return _pair(find_board(board_name), software)
    known = {target.name: target for target in all_targets()}
    text = BOARD_ALIASES.get(text, text)
    if text not in known:
        raise unknown("target", name, _family(text, known))
    return known[text]


def _family(text: str, known: Iterable[str]) -> list[str]:
    """The names among which a mistyped one is looked for: the list of all would be long."""
    alike = [name for name in known if text and text in name]  # "6.2", "orin"
    if alike:
        return alike
    for start in ("jetpack", "trt"):
        if text.startswith(start):
            return [name for name in known if name.startswith(start)]
    return [name for name in known if not name.startswith(("jetpack", "trt"))]


def _pair(board: Board, software: str) -> Target:
    """A board with a JetPack ("6.2", "jetpack-6.2") or a TensorRT ("trt-10.3")."""
    if software.startswith("trt-"):
        kind, version = "TensorRT", software.removeprefix("trt-")
        possible = {entry["version"]: entry for entry in _tensorrts_of(board)}
    else:
        kind, version = "JetPack", software.removeprefix("jetpack-")
        possible = {entry["version"]: entry for entry in _jetpacks_of(board)}
    if version not in possible:
        raise EdgeupError(
            f"{board.title} does not run {kind} {version or '(no version given)'}: "
            f"it runs {kind} {', '.join(possible)}"
        )
    if kind == "JetPack":
        return _on_jetpack(possible[version], board)
    return _on_tensorrt(possible[version], board)


def _jetpacks_of(board: Board) -> list[Mapping[str, Any]]:
    return [entry for entry in _document()["jetpacks"] if board.name in entry["boards"]]


def _tensorrts_of(board: Board) -> list[Mapping[str, Any]]:
    return [entry for entry in _document()["tensorrt"] if board.name in _boards_with(entry)]


def _boards_with(tensorrt: Mapping[str, Any]) -> list[str]:
    """The boards for which this TensorRT exists, by a JetPack that ships it or beside one."""
    names = set(tensorrt["boards"])
    for jetpack in _shipping(tensorrt):
        names.update(jetpack["boards"])
    return [board.name for board in all_boards() if board.name in names]


def _shipping(tensorrt: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    version = major_minor(tensorrt["version"])
    return (
        jetpack
        for jetpack in _document()["jetpacks"]
        if major_minor(jetpack["tensorrt"]) == version
    )


def _newest(board: Board) -> Target:
    """A board alone: its newest JetPack."""
    return _on_jetpack(_jetpacks_of(board)[-1], board, name=board.name)


def _on_jetpack(
    jetpack: Mapping[str, Any], board: Board | None = None, name: str | None = None
) -> Target:
    version = jetpack["version"]
    if name is None:
        name = f"jetpack-{version}" if board is None else f"{board.name}@{version}"
    shipped = major_minor(jetpack["tensorrt"])
    tensorrt = next(
        entry for entry in _document()["tensorrt"] if major_minor(entry["version"]) == shipped
    )
    return _make(name, tensorrt, {**jetpack, "jetpack": version}, jetpack["boards"], board)


def _on_tensorrt(tensorrt: Mapping[str, Any], board: Board | None = None) -> Target:
    version = tensorrt["version"]
    name = f"trt-{version}" if board is None else f"{board.name}@trt-{version}"
    return _make(name, tensorrt, {"tensorrt": version}, _boards_with(tensorrt), board)


def _make(
    name: str,
    base: Mapping[str, Any],
    above: Mapping[str, Any],
    boards: Iterable[str],
    board: Board | None = None,
) -> Target:
    """A target from a TensorRT's (or a host's) facts, with a JetPack's above them."""
    facts = {**base, **above}
    opset = min(facts["opset_max"], _NEWEST_WRITTEN)
    names = tuple(boards) if board is None else (board.name,)
    on_boards = board is not None or "jetpack" in above
    runs = {p for b in all_boards() if b.name in names for p in b.precisions}
    unverified = [fact for fact in base["unverified"] if fact.split(":")[0] not in above]
    return Target(
        name=name,
        backend=facts.get("backend", "tensorrt"),
        **{key: facts.get(key) for key in ("jetpack", "l4t", "tensorrt", "cuda", "python")},
        opset=opset,
        opset_max=facts["opset_max"],
        ir_version=ir_version_of(opset),
        precisions=tuple(p for p in facts["precisions"] if p in runs or not on_boards),
        api=facts["api"],
        typing=facts["typing"],
        boards=names,
        board=board,
        sources={**base["sources"], **above.get("sources", {}), "ir_version": "ver"},
        unverified=(*unverified, *above.get("unverified", ())),
    )
