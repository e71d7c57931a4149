"""Every mode of picture against its known pixels; everything else refused with the reason."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgeup.errors import EdgeupError, MissingPackageError
from edgeup.runtime.images import load_picture

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def saved(folder: Path, image: Image.Image, name: str = "picture.png", **options: object) -> Path:
    path = folder / name
    image.save(path, **options)
    return path


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(values: np.ndarray, colour_type: int, size: tuple[int, int] | None = None) -> bytes:
    """A PNG of 16-bit samples ``h w c``, which Pillow itself cannot write in colour."""
    height, width = size or values.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def corners() -> Image.Image:
    """Red, green; blue, white; then a grey row, so that no turn leaves it as it was."""
    pixels = np.array([[RED, GREEN], [BLUE, WHITE], [(9, 9, 9), (90, 90, 90)]], np.uint8)
    return Image.fromarray(pixels)


def test_rgb_is_kept_to_the_bit(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 5, 3), np.uint8)
    for name in ("a.png", "a.bmp", "a.tiff", "a.ppm"):
        picture = load_picture(saved(tmp_path, Image.fromarray(pixels), name))
        np.testing.assert_array_equal(picture.pixels, pixels)
        assert (picture.pixels.dtype, picture.mode, picture.notes) == (np.uint8, "RGB", ())


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "YCbCr"])
def test_other_modes_come_out_as_the_colours_they_stand_for(tmp_path: Path, mode: str) -> None:
    black_white = Image.fromarray(np.array([[0, 255, 0], [255, 255, 0]], np.uint8))
    colours = corners() if mode in ("P", "RGBA", "YCbCr") else black_white
    # quantize() keeps the few colours there are; convert("P") would take a fixed palette.
    stored = colours.quantize(8) if mode == "P" else colours.convert(mode)
    picture = load_picture(saved(tmp_path, stored, "a.tiff" if mode == "YCbCr" else "a.png"))
    wanted = np.asarray(colours.convert("RGB")).astype(int)
    assert picture.mode == mode
    assert picture.notes == ()
    # YCbCr rounds; the others are exact.
    assert np.abs(picture.pixels - wanted).max() <= (2 if mode == "YCbCr" else 0)


def test_transparent_pixels_lie_over_white_and_it_is_said(tmp_path: Path) -> None:
    layers = np.array([[(*RED, 255), (*RED, 0), (0, 0, 0, 128)]], np.uint8)
    picture = load_picture(saved(tmp_path, Image.fromarray(layers, "RGBA")))
    assert picture.pixels[0].tolist() == [[*RED], [*WHITE], [127, 127, 127]]
    assert "over white" in picture.notes[0]


def test_transparency_of_a_palette_and_of_grey_counts_too(tmp_path: Path) -> None:
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    palette.putpalette([*RED, *BLUE])
    first = load_picture(saved(tmp_path, palette, transparency=1))
    assert first.pixels[0].tolist() == [[*RED], [*WHITE]]
    grey = Image.fromarray(np.array([[(40, 255), (40, 0)]], np.uint8), "LA")
    second = load_picture(saved(tmp_path, grey))
    assert second.pixels[0].tolist() == [[40] * 3, [*WHITE]]
    assert "over white" in first.notes[0] == second.notes[0]


def test_cmyk_is_ink_not_light(tmp_path: Path) -> None:
    ink = np.zeros((16, 16, 4), np.uint8)
    ink[:, :8, 0] = 255  # cyan
    ink[:, 8:, 3] = 255  # black
    for name in ("a.jpg", "a.tiff"):
        picture = load_picture(saved(tmp_path, Image.fromarray(ink, "CMYK"), name))
        assert picture.mode == "CMYK"
        assert np.abs(picture.pixels[8, 2].astype(int) - (0, 255, 255)).max() < 4
        assert picture.pixels[8, 13].max() < 4
        assert picture.notes == ("converted from CMYK without a colour profile",)


@pytest.mark.parametrize("name", ["a.png", "a.tiff", "a.ppm"])
def test_16_bit_grey_is_scaled_and_keeps_its_bits(tmp_path: Path, name: str) -> None:
    grey = np.array([[0, 1, 257, 30_000, 65_534, 65_535]], np.uint16)
    picture = load_picture(saved(tmp_path, Image.fromarray(grey), name))
    assert picture.pixels.dtype == np.float32
    wanted = np.repeat((grey / 257.0)[..., None], 3, axis=2)
    np.testing.assert_allclose(picture.pixels, wanted, rtol=1e-6)
    assert picture.pixels.max() == 255
    assert picture.notes == ("16-bit samples were scaled to 0-255",)


def test_16_bit_colour_is_scaled_not_clipped(tmp_path: Path) -> None:
    values = np.random.default_rng(3).integers(0, 65_536, (4, 6, 3))
    path = tmp_path / "deep.png"
    path.write_bytes(png(values, colour_type=2))
    picture = load_picture(path)
    assert np.abs(picture.pixels - values / 257).max() <= 1
    assert "upper 8 bits" in picture.notes[0]


def test_exif_orientation_is_set_upright(tmp_path: Path) -> None:
    upright = np.asarray(corners())
    # How a camera stores the upright picture under each orientation (EXIF 2.3, tag 0x0112).
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: upright.transpose(1, 0, 2)[::-1],
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: upright.transpose(1, 0, 2)[:, ::-1],
    }
    assert len({pixels.tobytes() + bytes(pixels.shape) for pixels in stored.values()}) == 8
    for orientation, pixels in stored.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        image = Image.fromarray(np.ascontiguousarray(pixels))
        picture = load_picture(saved(tmp_path, image, f"{orientation}.png", exif=exif))
        np.testing.assert_array_equal(picture.pixels, upright, err_msg=f"{orientation}")
        assert len(picture.notes) == (orientation != 1)


def test_exif_in_a_jpeg_and_nonsense_in_it(tmp_path: Path) -> None:
    image = Image.new("RGB", (32, 16), RED)
    exif = Image.Exif()
    exif[0x0112] = 6
    assert load_picture(saved(tmp_path, image, "a.jpg", exif=exif)).pixels.shape == (32, 16, 3)
    exif[0x0112] = 77
    assert load_picture(saved(tmp_path, image, "b.jpg", exif=exif)).pixels.shape == (16, 32, 3)
    broken = b"Exif\0\0" + b"MM\0\x2a\xff\xff\xff\xff"
    assert load_picture(saved(tmp_path, image, "c.jpg", exif=broken)).pixels.shape == (16, 32, 3)


def test_of_an_animation_the_first_frame_is_taken_and_it_is_said(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, BLUE)]
    for name in ("a.gif", "a.webp", "a.tiff", "a.png"):
        options = {"lossless": True} if name == "a.webp" else {}
        path = saved(tmp_path, frames[0], name, save_all=True, append_images=frames[1:], **options)
        picture = load_picture(path)
        assert picture.pixels[0, 0].tolist() == [*RED]
        assert picture.notes == ("the file holds 2 pictures; the first was taken",)


def refusal(path: Path) -> str:
    with pytest.raises(EdgeupError) as refused:
        load_picture(path)
    assert "\n" not in str(refused.value)
    assert path.name in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty (0 bytes)"),
        (b"not a picture at all", "is not a picture that is read here (PNG, JPEG,"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "is a HEIC picture; convert it to PNG or JPEG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is PostScript; convert"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is an SVG drawing; convert"),
        (b"%PDF-1.7", "is a PDF document"),
        (b"GIF89a\0\0\0\0\0\0\0;", ""),
        (b"P6 0 0 255\n", ""),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, ""),
        (png(np.zeros((0, 0, 3)), 2), ""),
        (b"II*\0" + b"\xff" * 60, ""),
    ],
)
def test_what_is_no_picture_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    assert reason in refusal(path)


@pytest.mark.parametrize("name", ["a.jp2", "a.png", "a.jpg", "a.tiff", "a.webp", "a.bmp", "a.ppm"])
def test_a_file_cut_off_anywhere_is_refused(tmp_path: Path, name: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    whole = saved(tmp_path, Image.fromarray(pixels), name).read_bytes()
    path = tmp_path / f"cut-{name}"
    for part in (0.02, 0.3, 0.8):
        path.write_bytes(whole[: int(len(whole) * part)])
        assert refusal(path)


def test_a_decompression_bomb_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png(np.zeros((1, 8, 3)), 2, size=(50_000, 50_000)))
    assert "unpacks to more than the 178,956,970 pixels" in refusal(path)
    path.write_bytes(png(np.zeros((1, 8, 3)), 2, size=(1, 70_000)))
    assert "a side has at most 65,535 pixels" in refusal(path)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (Image.fromarray(np.ones((4, 4), np.float32)), "mode F: floating-point samples"),
        (Image.fromarray(np.ones((4, 4), np.int32)), "mode I: 32-bit integers"),
        (Image.new("LAB", (4, 4)), "mode LAB: there is no conversion"),
    ],
)
def test_a_mode_without_a_white_is_refused(tmp_path: Path, image: Image.Image, reason: str) -> None:
    assert reason in refusal(saved(tmp_path, image, "a.tiff"))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "missing.png")
    assert "is a folder" in refusal(tmp_path)
    assert "is no regular file" in refusal(Path("/dev/null"))


def test_without_pillow_the_line_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r"pip install 'edgeup\[image\]'"):
        load_picture(tmp_path / "any.png")
