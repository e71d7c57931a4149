"""`edgeup list targets`: what can follow --target, and the figures that estimates rest on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import JustifyMethod, RenderableType
    from rich.table import Table

    from edgeup.boards import Board, Dla, PowerMode
    from edgeup.targets import Target


def targets_document() -> dict[str, Any]:
    """What `--format json` answers.

    ``targets`` have names of their own (boards with their newest JetPack); ``boards`` have power
    modes: clocks in MHz, peaks in TFLOPS (TOPS for int8); ``sources`` are what both cite.
    """
    from edgeup import boards, targets

    return {
        "targets": [
            {**target.to_json(), "default": target.name == targets.default_target()}
            for target in targets.all_targets()
        ],
        "boards": [_board_row(board) for board in boards.all_boards()],
        "sources": {**boards.sources(), **targets.sources()},
    }


def _board_row(board: Board) -> dict[str, Any]:
    row = {**asdict(board), "jetpacks": jetpacks_of(board)}
    if board.dla is not None:
        row["dla"]["int8_tops_each"] = board.dla.int8_tops_each
    return row


def jetpacks_of(board: Board) -> list[str]:
    """The JetPacks that a board runs, oldest first."""
    from edgeup.targets import all_targets

    return [
        target.jetpack
        for target in all_targets()
        if target.jetpack and target.board is None and board.name in target.boards
    ]


def _spans(jetpacks: Sequence[str]) -> str:
    """("5.1", "6.0", "7.2") -> "5.1 to 6.0, 7.2": no Orin runs the 7.0 and 7.1 between."""
    from edgeup.targets import all_targets

    every = [target.jetpack for target in all_targets() if target.name.startswith("jetpack-")]
    spans = []
    for runs, group in groupby(every, key=lambda jetpack: jetpack in jetpacks):
        span = [str(jetpack) for jetpack in group]
        if runs:
            spans.append(span[0] if len(span) == 1 else f"{span[0]} to {span[-1]}")
    return ", ".join(spans)


def targets_text() -> Iterator[RenderableType]:
    """Tables of JetPacks and TensorRT versions, then the boards with their power modes."""
    from rich.text import Text

    from edgeup.boards import all_boards
    from edgeup.targets import all_targets

    named = [target for target in all_targets() if target.board is None]
    yield _versions(target for target in named if not target.name.startswith("trt-"))
    yield Text()
    yield _tensorrts(target for target in named if target.name.startswith("trt-"))
    yield Text(
        "\nA board alone takes its newest JetPack; BOARD@6.2 or BOARD@trt-10.3 another.\n"
        "Peaks (dense TFLOPS, TOPS for int8) and bandwidths are derived from clocks and\n"
        "widths; none was measured. --format json holds the source of each figure.",
    )
    for board in all_boards():
        yield Text()
        yield from _board(board)


def _versions(targets: Iterable[Target]) -> Table:
    from edgeup.targets import default_target

    rows = [
        (
            target.name + ("  (default)" if target.name == default_target() else ""),
            target.tensorrt or "-",
            str(target.opset),
            str(target.ir_version),
            target.l4t or "-",
        )
        for target in targets
    ]
    return _table(("name", "TensorRT", "opset", "IR version", "L4T"), rows)


def _tensorrts(targets: Iterable[Target]) -> Table:
    rows = [
        (
            target.name,
            str(target.opset),
            str(target.ir_version),
            target.typing or "-",
            " ".join(target.precisions),
        )
        for target in targets
    ]
    return _table(("name", "opset", "IR version", "typing", "precisions"), rows)


def _board(board: Board) -> Iterator[RenderableType]:
    from rich.text import Text

    sizes = " or ".join(map(str, board.memory_gb))
    memory = "" if board.title.endswith("GB") else f", {sizes} GB"
    capability = ".".join(map(str, board.compute_capability))
    facts = [
        f"JetPack {_spans(jetpacks_of(board))}; {' '.join(board.precisions)}",
        *([] if board.dla is None else [_dla(board.dla)]),
    ]
    yield Text.assemble(
        (board.name, "bold"), f"  {board.title}{memory}, compute capability {capability}"
    )
    yield _indented(Text("\n".join(facts)))
    yield _indented(_modes(board))
    if board.unverified:
        fields = dict.fromkeys(fact.split(":")[0] for fact in board.unverified)
        yield _indented(Text(f"not verified: {', '.join(fields)}", style="yellow"))


def _dla(dla: Dla) -> str:
    last, again = dla.last_tensorrt, dla.again_from_tensorrt
    until = f"up to TensorRT {last[0]}.{last[1]}"
    since = "" if again is None else f", and from {again[0]}.{again[1]}"
    cores = "core" if dla.cores == 1 else "cores"
    return f"{dla.cores} DLA {cores} of {dla.int8_tops_each:.1f} int8 TOPS, {until}{since}"


def _modes(board: Board) -> Table:
    """A row per group of modes with equal figures; they differ in CPU cores alone."""
    rows = []
    for _, group in groupby(board.power_modes, key=_figures):
        modes = list(group)
        names = [m.name + (" (default)" if m.name == board.default_mode else "") for m in modes]
        rows.append(("\n".join(names), *_figures(modes[0])))
    return _table(("power mode", "SMs", "MHz", "GB/s", *board.peak), rows, figures=True)


def _figures(mode: PowerMode) -> tuple[str, ...]:
    clock = "-" if mode.gpu_mhz is None else f"{mode.gpu_mhz:.0f}"
    peaks = (f"{peak:.0f}" if peak >= 100 else f"{peak:.3g}" for peak in mode.peak.values())
    return f"{mode.sms}", clock, f"{mode.bandwidth_gbs:.1f}", *peaks


def _indented(renderable: RenderableType) -> RenderableType:
    from rich.padding import Padding

    return Padding(renderable, (0, 0, 0, 2))


def _table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, figures: bool = False
) -> Table:
    """``figures``: all columns but the first hold numbers, in the same places for all boards."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(columns[0], no_wrap=True, min_width=24 if figures else None)
    for column in columns[1:]:
        justify: JustifyMethod = "right" if figures else "left"
        table.add_column(column, justify=justify, min_width=5 if figures else None)
    for row in rows:
        table.add_row(*row)
    return table
