import io
import json
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.images import (
    BACKGROUND,
    grid,
    open_header,
    png_bytes,
    png_pixels,
    save_gif,
    save_png,
    side_by_side,
    to_uint8,
    to_unit,
)
from jaxgen.inference.provenance import provenance_text, read_provenance

MADE = {"model": "ab" * 32, "seed": 7, "index": 3, "label": None, "plan": {"sampler": "ddim", "steps": 20, "eta": 0.0}}


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def write_png(path, text: dict[str, str], size=(2, 2), mode="L", compress=False):
    """A PNG as some other program would write it."""
    info = PngInfo()
    for key, value in text.items():
        info.add_text(key, value, zip=compress)
    Image.new(mode, size).save(path, pnginfo=info)
    return path


def png_claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims this many pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(64))) + chunk(b"IEND", b"")


def test_every_pixel_value_survives_the_round_trip():
    pixels = np.arange(256, dtype=np.uint8)
    unit = to_unit(pixels)
    assert unit.dtype == np.float32
    assert unit[0] == -1 and unit[255] == 1
    assert np.abs(unit - (pixels.astype(np.float64) / 127.5 - 1)).max() < 1e-7
    assert np.array_equal(to_uint8(unit), pixels)


def test_to_uint8_rounds_ties_to_even_and_clamps():
    # (x + 1) * 127.5 is 127.5 at 0; at -1 + 1/255 and at 1/255 it is 0.5 and 128 but for float32's rounding.
    x = np.array([0.0, -1.0, 1.0, -7.0, 3.4e38, -np.inf, np.inf, 0.001])
    assert to_uint8(x).tolist() == [128, 0, 255, 0, 255, 0, 255, 128]


def test_to_uint8_of_every_interval_is_python_round():
    x = np.random.default_rng(1).uniform(-1.2, 1.2, 1000).astype(np.float32)
    want = [min(max(round(float((v + np.float32(1)) * np.float32(127.5))), 0), 255) for v in x]
    assert to_uint8(x).tolist() == want


def test_to_uint8_of_nan_is_refused():
    with pytest.raises(JaxgenError, match="NaN"):
        to_uint8(np.array([0.0, np.nan]))


def test_to_unit_of_floats_is_refused():
    with pytest.raises(JaxgenError, match="uint8"):
        to_unit(np.zeros(3, np.float32))


def test_grid_places_each_image_in_reading_order():
    images = np.array([[10, 11], [20, 21], [30, 31]], np.uint8).reshape(3, 1, 2, 1)  # each one high, two wide
    sheet = grid(images, columns=2, padding=1, scale=2)
    b = BACKGROUND
    assert sheet[..., 0].tolist() == [
        [b, b, b, b, b, b, b, b, b, b, b],
        [b, 10, 10, 11, 11, b, 20, 20, 21, 21, b],
        [b, 10, 10, 11, 11, b, 20, 20, 21, 21, b],
        [b, b, b, b, b, b, b, b, b, b, b],
        [b, 30, 30, 31, 31, b, b, b, b, b, b],
        [b, 30, 30, 31, 31, b, b, b, b, b, b],
        [b, b, b, b, b, b, b, b, b, b, b],
    ]


@pytest.mark.parametrize(
    ("shape", "want"),
    [((64, 8, 8, 1), 8 * 58 + 2), ((64, 28, 28, 1), 8 * 58 + 2), ((9, 32, 32, 3), 3 * 66 + 2), ((4, 64, 64, 3), 134)],
)
def test_grid_is_square_with_cells_of_56_pixels_or_more(shape, want):
    assert grid(noise(*shape)).shape == (want, want, shape[-1])


def test_grid_of_ten_is_nearly_square():
    height, width, _ = grid(noise(10, 64, 64, 1), padding=0).shape
    assert (height // 64, width // 64) == (3, 4)


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((0, 8, 8, 1), {}),
        ((8, 8, 1), {}),
        ((1, 8, 8, 1), {"columns": 0}),
        ((1, 8, 8, 1), {"scale": 0}),
        ((1, 8, 8, 1), {"padding": -1}),
    ],
)
def test_grid_of_what_cannot_be_meant_is_refused(shape, options):
    with pytest.raises(UsageError):
        grid(noise(*shape), **options)


@pytest.mark.parametrize("channels", [1, 3])
def test_png_pixels_are_what_pillow_reads_back(tmp_path, channels):
    image = noise(5, 7, channels)
    save_png(tmp_path / "a.png", image, {"Title": "x"})
    with Image.open(tmp_path / "a.png") as opened:
        assert opened.info["Title"] == "x"
        assert np.array_equal(np.asarray(opened).reshape(5, 7, channels), image)
    assert np.array_equal(png_pixels((tmp_path / "a.png").read_bytes(), "a"), image)


def test_png_to_a_stream_has_the_bytes_of_the_file(tmp_path):
    stream = io.BytesIO()
    save_png(stream, noise(4, 4, 3))
    save_png(tmp_path / "a.png", noise(4, 4, 3))
    assert stream.getvalue() == (tmp_path / "a.png").read_bytes()


@pytest.mark.parametrize("image", [noise(4, 4), noise(4, 4, 2), noise(0, 4, 1), np.zeros((4, 4, 1))])
def test_png_of_what_is_no_image_is_refused(image):
    with pytest.raises(JaxgenError):
        png_bytes(image)


def test_png_over_the_pixel_limit_is_refused_before_it_is_decoded():
    with pytest.raises(JaxgenError, match="at most 15 pixels, got 4 x 4"):
        png_pixels(png_bytes(noise(4, 4, 1)), "a.png", max_pixels=15)


@pytest.mark.parametrize("size", [(10_000, 10_000), (60_000, 60_000)])  # Pillow only warns of the first
def test_decompression_bomb_is_refused(tmp_path, size, recwarn):
    (tmp_path / "bomb.png").write_bytes(png_claiming(*size))
    with pytest.raises(JaxgenError, match=r"bomb\.png"):
        read_provenance(tmp_path / "bomb.png")
    assert not recwarn.list


def test_truncated_png_is_refused_unless_every_pixel_is_there():
    image = noise(6, 6, 3)
    good, refused = png_bytes(image), 0
    for cut in range(len(good)):
        try:
            assert np.array_equal(png_pixels(good[:cut], "cut"), image)  # only checksums are missing
        except JaxgenError:
            refused += 1
    assert refused > len(good) - 24


def test_damaged_png_raises_nothing_but_one_line():
    good, rng = png_bytes(noise(6, 6, 3), provenance_text(MADE)), np.random.default_rng(2)
    for _ in range(1000):
        bad = bytearray(good)
        for at in rng.integers(8, len(bad), rng.integers(1, 6)):
            bad[at] = rng.integers(256)
        try:
            png_pixels(bytes(bad), "bad")
        except JaxgenError as err:
            assert "\n" not in str(err)


def decode_gif(data: bytes) -> tuple[list[np.ndarray], list[int]]:
    gif, frames, durations = Image.open(io.BytesIO(data)), [], []
    for number in range(gif.n_frames):
        gif.seek(number)
        frames.append(np.asarray(gif.convert("RGB")))
        durations.append(gif.info["duration"])
    assert gif.info["loop"] == 0
    return frames, durations


def test_gif_of_grey_frames_is_exact_and_holds_the_last():
    # Frames that differ by their grey levels alone: Pillow's own optimiser shows the first one twice.
    frames = np.arange(5 * 64).astype(np.uint8).reshape(5, 8, 8, 1)
    stream = io.BytesIO()
    save_gif(stream, frames, duration_ms=50, hold_last_ms=1000)
    decoded, durations = decode_gif(stream.getvalue())
    assert all(np.array_equal(got, np.repeat(want, 3, axis=2)) for got, want in zip(decoded, frames, strict=True))
    assert durations == [50, 50, 50, 50, 1000]


@pytest.mark.parametrize(("count", "total"), [(1, 1000), (4, 1150)])
def test_gif_of_equal_frames_lasts_as_long_as_all_of_them(tmp_path, count, total):
    save_gif(tmp_path / "a.gif", np.full((count, 4, 4, 1), 9, np.uint8), duration_ms=50, hold_last_ms=1000)
    assert sum(decode_gif((tmp_path / "a.gif").read_bytes())[1]) == total


def test_gif_of_coloured_frames_is_close():
    ramp = np.linspace(0, 255, 16).astype(np.uint8)
    frames = np.stack([np.stack(np.broadcast_arrays(ramp[:, None], ramp, np.uint8(b)), axis=-1) for b in (0, 99, 200)])
    stream = io.BytesIO()
    save_gif(stream, frames)
    decoded, _ = decode_gif(stream.getvalue())
    assert np.abs(np.stack(decoded).astype(int) - frames).max() <= 24


@pytest.mark.parametrize("times", [(0, 1000), (50, 9), (50, 700_000)])
def test_gif_with_impossible_times_is_refused(times):
    with pytest.raises(UsageError, match="GIF"):
        save_gif(io.BytesIO(), noise(2, 4, 4, 1), *times)


def test_gif_without_frames_is_refused():
    with pytest.raises(UsageError, match="frames"):
        save_gif(io.BytesIO(), noise(0, 4, 4, 1))


def test_provenance_reads_back_equal_and_is_compact_json(tmp_path):
    save_png(tmp_path / "a.png", noise(4, 4, 1), provenance_text(MADE))
    assert read_provenance(tmp_path / "a.png") == MADE
    with Image.open(tmp_path / "a.png") as opened:
        assert opened.info["jaxgen"] == json.dumps(MADE).replace(" ", "")


@pytest.mark.parametrize("made", [{"eta": float("nan")}, {"x": object()}, {"x": "y" * 70_000}])
def test_provenance_that_could_not_be_read_back_is_not_written(made):
    with pytest.raises(JaxgenError, match="provenance"):
        provenance_text(made)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ({}, "does not say how it was made"),
        ({"Title": "jaxgen"}, "does not say how it was made"),
        ({"jaxgen": '{"seed": '}, "no JSON"),
        ({"jaxgen": "[" * 5000}, "no JSON"),
        ({"jaxgen": '"an image"'}, "no JSON object"),
        ({"jaxgen": json.dumps({"x": "y" * 70_000})}, "70009 characters"),
    ],
)
def test_image_without_good_provenance_is_refused(tmp_path, text, message):
    path = write_png(tmp_path / "a.png", text)
    with pytest.raises(JaxgenError, match=message) as refusal:
        read_provenance(path)
    assert str(path) in str(refusal.value)


def test_provenance_that_unpacks_to_megabytes_is_refused(tmp_path):
    path = write_png(tmp_path / "a.png", {"jaxgen": " " * 5_000_000}, compress=True)
    assert path.stat().st_size < 10_000
    with pytest.raises(JaxgenError, match=r"a\.png"):
        read_provenance(path)


@pytest.mark.parametrize("count", [1, 3, 4, 7])
def test_kinds_lie_above_each_other_and_grey_fills_the_last_row(count):
    above = np.arange(count, dtype=np.uint8).reshape(-1, 1, 1, 1) * np.ones((2, 3, 1), np.uint8)
    rows = side_by_side(3, above, above + 100)
    want = []
    for start in range(0, count, 3):
        line = [*range(start, min(start + 3, count))]
        grey = [128] * (3 - len(line))
        want += [line + grey, [i + 100 for i in line] + grey]
    assert rows.shape == (len(want), 3, 2, 3, 1) and rows.dtype == np.uint8
    assert rows[:, :, 0, 0, 0].tolist() == want and (rows == rows[:, :, :1, :1]).all()


def test_other_kinds_of_file_have_no_provenance(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.jpg")
    write_png(tmp_path / "palette.png", {"jaxgen": "{}"}, mode="P")
    for name in ("a.jpg", "palette.png", "missing.png", "."):
        with pytest.raises(JaxgenError):
            read_provenance(tmp_path / name)


def test_opening_in_threads_leaves_the_filters_of_warnings_alone():
    """`warnings.catch_warnings` is the whole process's: two at once may put back what the other one had set."""
    png, before = png_bytes(np.zeros((4, 4, 1), np.uint8)), list(warnings.filters)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: open_header(png, ("PNG",)).size, range(400)))
    assert warnings.filters == before


def test_header_of_another_format_than_those_that_may_be_tried_is_not_read():
    with pytest.raises(OSError, match="cannot identify"):
        open_header(png_bytes(np.zeros((4, 4, 1), np.uint8)), ("GIF",))
