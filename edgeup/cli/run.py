"""`edgeup run`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgeup.cli.options import given_path, output_option
from edgeup.cli.verb import Answer, Format, FormatOption, run_verb
from edgeup.errors import EdgeupError

if TYPE_CHECKING:
    from rich.console import RenderableType


def run(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="An ONNX file.")],
    picture: Annotated[
        Path,
        typer.Argument(
            metavar="PICTURE",
            help="PNG, JPEG, TIFF, WebP, GIF, BMP, PPM, JPEG 2000 or AVIF, of any mode and size.",
        ),
    ],
    output: Annotated[Path | None, output_option("PNG", "Draw the output to this file.")] = None,
    save_raw: Annotated[
        Path | None,
        typer.Option(
            parser=given_path, metavar="NPY", help="Save the output's numbers to this file."
        ),
    ] = None,
    preprocess: Annotated[
        str | None,
        typer.Option(
            metavar="PRESET|KEY=VALUE,...",
            help="fastdepth, unit (0 to 1), imagenet, raw (0 to 255), minus-one-to-one or stored; "
            "then changes: size, cover, crop (HEIGHTxWIDTH), interpolation, antialias, scale, "
            "mean, std, channels (rgb, bgr, grey), layout (nchw, nhwc).",
            show_default="what is stored in the model",
        ),
    ] = None,
    input_name: Annotated[
        str | None,
        typer.Option("--input", metavar="NAME", help="The input for the picture, of several."),
    ] = None,
    feed: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=NPY", help="An array for another input; once per input."),
    ] = None,
    output_name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The output to draw and save.", show_default="first"),
    ] = None,
    kind: Annotated[
        str, typer.Option("--as", help="How to draw: auto, map, classes or image.")
    ] = "auto",
    colormap: Annotated[
        str,
        typer.Option(help="Of a map: viridis, magma, inferno, plasma, cividis or grey."),
    ] = "viridis",
    limits: Annotated[
        str | None,
        typer.Option(
            "--range",
            metavar="MIN:MAX",
            help="Values of the first and the last colour.",
            show_default="least and greatest value",
        ),
    ] = None,
    invert: Annotated[
        bool, typer.Option("--invert", help="Reverse the colours, so that near is bright.")
    ] = False,
    threads: Annotated[int | None, typer.Option(min=1, max=1024, show_default="all cores")] = None,
    style: FormatOption = Format.TEXT,
) -> int:
    """Run one picture through an ONNX model on this CPU; draw and save what comes out."""

    def body(answer: Answer) -> bool:
        from edgeup.cli.preprocess_option import parse_preprocess, parse_range
        from edgeup.cli.progress import progress
        from edgeup.pipeline.run import RunRequest, run_picture
        from edgeup.runtime.drawing import Drawing

        request = RunRequest(
            model=model,
            picture=picture,
            preprocess=None if preprocess is None else parse_preprocess(preprocess),
            input_name=input_name,
            feeds=_feeds(feed or ()),
            output_name=output_name,
            drawing=Drawing(
                kind, colormap, None if limits is None else parse_range(limits), invert
            ),
            draw_to=output,
            save_raw=save_raw,
            threads=threads,
        )
        with progress() as stage:
            done = run_picture(request, stage)
        if answer.style is Format.JSON:
            answer.json(done)
        else:
            answer.show(*_summary(done))
        return True

    return run_verb(style, body)


def _feeds(texts: Iterable[str]) -> dict[str, Path]:
    feeds: dict[str, Path] = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise EdgeupError(f"--feed {text}: wanted NAME=FILE.npy")
        if name in feeds:
            raise EdgeupError(f"--feed {name} is given twice")
        feeds[name] = Path(path)
    return feeds


def _summary(done: Mapping[str, Any]) -> Iterable[RenderableType]:
    from rich.text import Text

    from edgeup.cli.summary import facts

    image, chosen = done["image"], done["preprocess"]
    origin = {"metadata": "stored in the model", "option": "from --preprocess"}[chosen["source"]]
    rows = {
        "picture": f"{image['path']}, {image['format']} {image['mode']}, "
        f"{image['height']}x{image['width']} (height x width)",
        "prepared": f"{chosen['description']}\n({origin})",
        "input": _values(done["input"]),
        "output": _values(done["output"]),
    }
    yield facts(rows)
    for notice in done["notices"]:
        yield Text(f"note: {notice}", style="yellow")
    written = [path for path in done["files"].values() if path is not None]
    yield Text(
        f"wrote {' and '.join(written)}"
        if written
        else "nothing was written: -o draws the output, --save-raw keeps its numbers"
    )


def _values(facts: Mapping[str, Any]) -> str:
    shape = "x".join(map(str, facts["shape"])) or "scalar"
    head = f"{facts['name']} {shape} {facts['dtype']}"
    if facts["mean"] is None:
        return f"{head}, no finite value"
    unit = f" {facts['unit']}" if facts.get("unit") else ""
    return f"{head}, {facts['min']:.4g} to {facts['max']:.4g}{unit}, mean {facts['mean']:.4g}{unit}"
