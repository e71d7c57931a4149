"""Picture files to RGB arrays: every mode loads right, or is refused with the reason."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgeup.errors import EdgeupError, MissingPackageError
from edgeup.spec import Array

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "PPM", "JPEG2000", "AVIF")
"""What is opened. Pillow knows more; EPS, for one, would be handed to Ghostscript to be run."""

SIDE_LIMIT = 65_535
_ORIENTATION = 0x0112  # the EXIF tag
_TURNS = {  # EXIF orientation to Pillow's transposition that sets the picture upright
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
_FOREIGN = (  # where, what stands there, what the file is
    (4, b"ftyphe", "a HEIC picture"),
    (4, b"ftypmif1", "a HEIF picture"),
    (0, b"%!PS", "PostScript"),
    (0, b"%PDF", "a PDF document"),
    (0, b"<svg", "an SVG drawing"),
    (0, b"<?xml", "XML (an SVG drawing?)"),
    (0, b"8BPS", "a Photoshop document"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (4, b"ftyp", "a video"),
)

_MODES = {
    *("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr"),
    *("LA", "La", "PA", "RGBA", "RGBa"),
}
_REFUSED = {
    "I": "32-bit integers have no agreed white",
    "F": "floating-point samples have no agreed white",
    "LAB": "there is no conversion from it without a colour profile",
}


@dataclass(frozen=True)
class Picture:
    """A picture in memory, upright.

    Attributes:
        pixels: ``h w 3``, RGB from 0 to 255: uint8, or float32 where the file holds 16 bits.
        mode: the file's own mode, in Pillow's words (L, RGB, RGBA, CMYK, I;16).
        format: the file's format, in Pillow's words (PNG, JPEG).
        notes: what was done to it that changes what a network sees.
    """

    pixels: Array
    mode: str
    format: str
    notes: tuple[str, ...]


def load_picture(path: Path) -> Picture:
    """Read a picture.

    Turned upright as EXIF says. Grey becomes three equal channels. Transparent pixels are laid
    over white. CMYK and other spaces are converted without a colour profile. 16-bit samples are
    scaled to 0-255, not clipped (grey keeps all its bits; Pillow keeps the upper 8 of colour).
    Of an animation the first frame is taken.

    Raises:
        EdgeupError: no such file, not a picture, a format or mode that is not read, a damaged or
            cut-off file, or one that unpacks beyond Pillow's limit.
        MissingPackageError: Pillow is not installed.
    """
    _require_pillow("reading a picture")
    from PIL import Image

    _check_file(path)
    Image.init()
    known = [name for name in FORMATS if name in Image.OPEN]
    with _one_line(path), Image.open(path, formats=known) as opened:
        _check_sides(path, opened)
        notes = [*_frames(opened), *_depth(opened)]
        opened.load()
        file_format = opened.format or "?"
        upright, turned = _upright(opened)
        pixels, changed = _to_rgb(path, upright, file_format)
    return Picture(
        np.ascontiguousarray(pixels), opened.mode, file_format, (*notes, *turned, *changed)
    )


def _check_file(path: Path) -> None:
    if path.is_file():
        return
    what = "does not exist"
    if path.exists():
        what = "is a folder" if path.is_dir() else "is no regular file"
    raise EdgeupError(f"picture {path} {what}")


def _require_pillow(purpose: str) -> None:
    from importlib.util import find_spec

    if find_spec("PIL") is None:
        raise MissingPackageError("pillow", "image", purpose)


@contextmanager
def _one_line(path: Path) -> Iterator[None]:
    """Whatever Pillow raises on a file, as one line with the reason."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            # Below its limit Pillow only warns, and phones make pictures of that size.
            warnings.simplefilter("ignore")
            yield
    except EdgeupError:
        raise
    except UnidentifiedImageError as error:
        raise EdgeupError(_foreign(path)) from error
    except Image.DecompressionBombError as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise EdgeupError(
            f"picture {path} unpacks to more than the {limit:,} pixels that Pillow lets pass"
        ) from error
    except (
        OSError,
        RuntimeError,
        ValueError,
        SyntaxError,
        TypeError,
        IndexError,
        KeyError,
        OverflowError,
        EOFError,
        struct.error,
    ) as error:  # what Pillow's readers raise on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise EdgeupError(f"picture {path} is damaged or cut off: {reason}") from error


def _foreign(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        return f"picture {path} is empty (0 bytes)"
    what = next((what for at, magic, what in _FOREIGN if head[at:].startswith(magic)), None)
    formats = ", ".join(FORMATS)
    if what is None:
        return f"{path} is not a picture that is read here ({formats}), or its header is damaged"
    return f"{path} is {what}; convert it to PNG or JPEG first (read here: {formats})"


def _check_sides(path: Path, image: Image.Image) -> None:
    width, height = image.size
    if min(width, height) < 1:
        raise EdgeupError(f"picture {path} has no pixels: {height}x{width} (height x width)")
    if max(width, height) > SIDE_LIMIT:
        raise EdgeupError(
            f"picture {path} is {height}x{width} (height x width); a side has at most "
            f"{SIDE_LIMIT:,} pixels"
        )


def _frames(image: Image.Image) -> Iterator[str]:
    count = getattr(image, "n_frames", 1)
    if count > 1:
        yield f"the file holds {count} pictures; the first was taken"


def _depth(image: Image.Image) -> Iterator[str]:
    """Called before the pixels are loaded: then Pillow forgets how they are stored."""
    if image.mode in ("RGB", "RGBA", "LA") and ";16" in str(getattr(image, "tile", "")):
        yield "16-bit samples were scaled to 0-255: Pillow keeps the upper 8 bits"


def _upright(image: Image.Image) -> tuple[Image.Image, tuple[str, ...]]:
    from PIL import Image as Pillow

    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # Pillow's EXIF parser raises whatever its many inner readers raise
        return image, ("its EXIF data is damaged; the picture was not turned",)
    if orientation not in _TURNS:
        return image, ()
    turned = image.transpose(Pillow.Transpose[_TURNS[orientation]])
    return turned, (f"turned upright (EXIF orientation {orientation})",)


def _to_rgb(path: Path, image: Image.Image, file_format: str) -> tuple[Array, tuple[str, ...]]:
    """``h w 3`` from 0 to 255, and what is worth saying of the way there."""
    if image.mode.startswith("I;16") or (image.mode == "I" and file_format in ("PNG", "PPM")):
        grey = np.asarray(image).astype(np.float32) / np.float32(257)  # 65535 / 255
        return np.repeat(grey[..., None], 3, axis=2), ("16-bit samples were scaled to 0-255",)
    if image.mode not in _MODES:
        raise EdgeupError(
            f"picture {path} has mode {image.mode}: {_REFUSED.get(image.mode, 'it is not read')}; "
            f"convert it to 8-bit or 16-bit PNG first"
        )
    if image.has_transparency_data:
        return _over_white(image)
    note = ("converted from CMYK without a colour profile",) if image.mode == "CMYK" else ()
    return np.asarray(image.convert("RGB")), note


def _over_white(image: Image.Image) -> tuple[Array, tuple[str, ...]]:
    from PIL import Image as Pillow

    layered = image.convert("RGBA")
    if layered.getchannel("A").getextrema() == (255, 255):
        return np.asarray(layered.convert("RGB")), ()
    white = Pillow.new("RGBA", layered.size, "white")
    note = "transparent pixels were laid over white; a network sees no transparency"
    return np.asarray(Pillow.alpha_composite(white, layered).convert("RGB")), (note,)
