"""What is written: films that do not jump, sheets whose rows say what they are, and limits."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxgen.errors import UsageError
from jaxgen.inference.writers import require_room, write_rows


@pytest.fixture
def rows():
    """Two rows of four plain images of 56 pixels, each of its own grey."""
    return np.arange(8, dtype=np.uint8).reshape(2, 4, 1, 1, 1) * 20 * np.ones((56, 56, 1), np.uint8)


def test_film_plays_there_and_back_and_holds_no_frame(rows, tmp_path):
    write_rows(tmp_path / "a.gif", rows, {})
    with Image.open(tmp_path / "a.gif") as film:
        shown = []
        for frame in range(film.n_frames):
            film.seek(frame)
            shown.append((np.array(film.convert("L"))[30, 30], film.info["duration"]))
    assert shown == [(0, 90), (20, 90), (40, 90), (60, 90), (40, 90), (20, 90)]


def test_film_of_two_frames_shows_each_once(rows, tmp_path):
    write_rows(tmp_path / "a.gif", rows[:, :2], {})
    with Image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == 2


def test_title_stands_above_its_row(rows, tmp_path):
    write_rows(tmp_path / "a.png", rows, {}, ["dimension 3", "dimension 0, " * 9])
    with Image.open(tmp_path / "a.png") as image:
        sheet = np.array(image)
    at = [int(np.flatnonzero(sheet[:, 234 - 30] == grey)[0]) for grey in (60, 140)]  # the last of each row
    assert sheet.shape[1] > 234  # as wide as the longer title
    for top in at:
        title = sheet[top - 12 : top - 2, :60]
        assert title.max() == 255 and title.min() < 60
    assert at[1] - at[0] > 56 + 12
    assert (sheet[at[0] : at[0] + 56, 240:] == 255).all()


@pytest.mark.parametrize("name", ["a.png", "a.gif"])
def test_rows_of_untrained_weights_say_so(rows, name, tmp_path):
    sheets = []
    for untrained in (False, True):
        write_rows(tmp_path / name, rows, {}, untrained=untrained)
        with Image.open(tmp_path / name) as image:
            sheets.append(np.array(image.convert("L")))
    strip = sheets[1][: len(sheets[1]) - len(sheets[0])]
    assert len(strip) > 8 and strip.min() < 60
    np.testing.assert_array_equal(sheets[1][len(strip) :, : sheets[0].shape[1]], sheets[0])


def test_file_holds_so_many_images_and_a_png_so_wide_rows():
    for name in ("a.png", "a.gif"):
        with pytest.raises(UsageError, match="at most 4096 images, this would be 4100"):
            require_room(Path(name), 41, 100)
    with pytest.raises(UsageError, match=r"rows of 129 images are too wide .*FILE.gif or FILE.npy"):
        require_room(Path("a.PNG"), 1, 129)
    require_room(Path("a.png"), 1, 128)
    require_room(Path("a.gif"), 1, 4096)
