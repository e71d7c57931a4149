"""`edgeup optimize`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from edgeup.cli.verb import Answer, Format, FormatOption, run_verb


def optimize(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="Any ONNX file.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="OUT.onnx", help="The result; OUT.json beside it reports."
        ),
    ],
    target: Annotated[
        str, typer.Option(help="Where it will run: see `edgeup list targets`.")
    ] = "cpu",
    shape: Annotated[
        list[str] | None,
        typer.Option(
            "--shape",
            "--shapes",
            help="Freeze an input: 1x3x224x224 or image:1x3x224x224; once per input.",
        ),
    ] = None,
    tune: Annotated[
        bool,
        typer.Option(
            "--tune", help="Measure the forms of each site on this CPU (target cpu alone)."
        ),
    ] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, max=1024, help="For the latency.", show_default="all cores")
    ] = None,
    verify: Annotated[
        bool, typer.Option(help="Compare the result with the original on seeded inputs.")
    ] = True,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Of the inputs.")] = 0,
    style: FormatOption = Format.TEXT,
) -> int:
    """Rewrite an ONNX file into an equal one that the target takes and that runs faster."""

    def body(answer: Answer) -> bool:
        from edgeup.cli.optimize_summary import optimize_summary
        from edgeup.cli.parse import parse_shape
        from edgeup.cli.progress import progress
        from edgeup.errors import EdgeupError
        from edgeup.files import check_folder, write_all
        from edgeup.pipeline.optimize import FileRequest, optimize_file
        from edgeup.pipeline.tuning import check_tunable
        from edgeup.report import compose, to_bytes
        from edgeup.targets import find_target

        request = FileRequest(
            target=find_target(target),
            shapes=tuple(parse_shape(text) for text in shape or ()),
            threads=threads,
            verify=verify,
            seed=seed,
            tune=tune,
            cache_folder=_cache_folder() if tune else None,
        )
        if tune:
            check_tunable(request.target.name, request.target.backend)
        check_folder(output.parent)
        if output.suffix != ".onnx":
            raise EdgeupError(f"-o {output} does not end in .onnx; name the file to write")
        if output.resolve() == model.resolve():
            raise EdgeupError(f"-o {output} is the model itself; name another file to write")
        with progress() as stage:
            done = optimize_file(model, request, stage)
        done.sections["onnx"]["path"] = output.name
        report = compose(**done.sections)
        write_all({output: done.content, output.with_suffix(".json"): to_bytes(report)})
        if answer.style is Format.JSON:
            answer.json(report)
        else:
            answer.show(*optimize_summary(report, output))
        return bool(report["passed"])

    return run_verb(style, body)


def _cache_folder() -> Path:
    """Where measurements are kept, by the XDG base directory specification."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "edgeup"
