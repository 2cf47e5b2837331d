"""Images as files: where they may be written, what is written, and how they are drawn again."""

from pathlib import Path

import numpy as np
import pytest
from model_requests import ask

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.images import grid, read_png, save_png
from jaxgen.inference import writers
from jaxgen.inference.provenance import provenance_text, read_provenance
from jaxgen.inference.request import Request
from jaxgen.sampling.sampler_spec import SamplerSpec

# --- where to write


@pytest.mark.parametrize("output", ["grid", "grid.bmp", "grid.onnx", "", "png", ".png", "a.png.bak"])
def test_ending_that_means_nothing_is_refused(output, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"-o takes FILE\.png, FILE\.jpg, FOLDER/, FILE\.npy, FILE\.gif or -, got"):
        writers.writer_for(output, 4)


@pytest.mark.parametrize(
    "output", ["a.png", "A.PNG", "a.npy", "a.gif", "new/", "new/and/deep/", "there", "there/", "-"]
)
def test_early_check_leaves_nothing_behind(output, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("there").mkdir()
    assert callable(writers.writer_for(output, 4))
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


@pytest.mark.parametrize("output", ["none/a.png", "none/a.npy", "none/a.gif"])
def test_file_in_a_missing_folder_is_refused_early(output, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(JaxgenError, match=f"{output}: cannot be written: there is no folder"):
        writers.writer_for(output, 4)


@pytest.mark.parametrize("output", ["folder.png", "folder.npy", "folder.gif"])
def test_folder_in_the_place_of_a_file_is_refused_early(output, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(output).mkdir()
    with pytest.raises(JaxgenError, match=f"{output}: cannot be written: it is a folder"):
        writers.writer_for(output, 4)


@pytest.mark.parametrize("output", ["file/", "file/deeper/", "link/"])
def test_file_in_the_place_of_a_folder_is_refused_early(output, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("mine")
    Path("link").symlink_to("file")
    with pytest.raises(JaxgenError, match=r"cannot be written: (file|link) is no folder"):
        writers.writer_for(output, 4)
    assert Path("file").read_text() == "mine"


@pytest.mark.parametrize(("output", "most"), [("a.png", 4096), ("-", 4096), ("a.gif", 256)])
def test_too_many_images_for_one_file_are_refused(output, most, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    writers.writer_for(output, most)
    with pytest.raises(UsageError, match=f"at most {most} images, got -n {most + 1}"):
        writers.writer_for(output, most + 1)


class Large:
    """As much of a Sampler as a sheet asks for before it draws."""

    shape = (64, 64, 3)


def test_sheet_that_could_not_be_read_back_is_refused_before_it_is_sampled(tmp_path):
    request = Request(count=4096, recipe=SamplerSpec("ddim", 1))
    write = writers.writer_for(str(tmp_path / "a.png"), 4096)
    with pytest.raises(UsageError, match="a sheet of this model holds at most 3600 images, got 4096"):
        write(Large(), request, 64, str(tmp_path / "a.png"))
    assert 3600 * (64 + 4) ** 2 < 2**24 < 61**2 * (64 + 4) ** 2  # 2^24 pixels are what read_png takes


# --- what is written


def write(model, output, batch_size=3, **wishes):
    request = ask(model, **wishes)
    writers.writer_for(str(output), request.count)(model, request, batch_size, str(output))
    return np.concatenate(list(model.stream(
        request.count, seed=request.seed, first=request.first, label=request.label, guidance=request.guidance,
        plan=request.plan(model),
    )))  # fmt: skip


def test_array_is_what_numpy_reads(classy, tmp_path):
    want = write(classy, tmp_path / "a.npy", count=7, first=2, label="all")
    found = np.load(tmp_path / "a.npy", allow_pickle=False)
    assert (found.dtype, found.shape) == (np.uint8, (7, 8, 8, 3))
    np.testing.assert_array_equal(found, want)


def test_sheet_and_folder_and_single_image_show_the_same_images(plain, tmp_path):
    want = write(plain, tmp_path / "sheet.png", count=5, first=3, seed=8)
    write(plain, f"{tmp_path}/a/b/", count=5, first=3, seed=8)
    write(plain, tmp_path / "one.png", count=1, first=4, seed=8)
    np.testing.assert_array_equal(read_png(tmp_path / "sheet.png"), grid(want))
    files = sorted((tmp_path / "a/b").iterdir())
    assert [file.name for file in files] == [f"seed8-{index:06d}.png" for index in range(3, 8)]
    for file, image in zip(files, want, strict=True):
        np.testing.assert_array_equal(read_png(file), image)
    np.testing.assert_array_equal(read_png(tmp_path / "one.png")[::32, ::32], want[1])  # magnified, to be seen


def test_png_says_how_it_was_made(classy, tmp_path):
    write(classy, tmp_path / "a.png", count=2, first=5, seed=9, label="bee", steps=4)
    assert read_provenance(tmp_path / "a.png") == {
        "model": classy.artifact.sha256, "seed": 9, "index": 5, "count": 2, "label": 2, "guidance": 1.5,
        "plan": {"sampler": "ddim", "steps": 4, "eta": 0.5},
    }  # fmt: skip


def test_images_of_classes_have_them_in_their_names(classy, tmp_path):
    write(classy, f"{tmp_path}/folder/", count=3, label="all", steps=2)
    write(classy, f"{tmp_path}/folder/", count=1, label="bee", steps=2)
    names = sorted(file.name for file in (tmp_path / "folder").iterdir())
    assert names == [f"seed0-00000{i}-class{c}.png" for i, c in ((0, 0), (0, 2), (1, 1), (2, 2))]


@pytest.mark.parametrize("output", ["a.png", "a.npy", "a.gif", "folder/", "new/folder/"])
def test_nothing_is_written_when_sampling_fails(plain, output, tmp_path, monkeypatch):
    def fail(*arguments, **names):
        raise JaxgenError("the graph failed")

    monkeypatch.setattr(plain, "sample", fail)
    with pytest.raises(JaxgenError, match="the graph failed"):
        write(plain, f"{tmp_path}/{output}")
    assert not list(tmp_path.iterdir())


def test_failed_sampling_leaves_the_file_that_was_there(plain, tmp_path, monkeypatch):
    (tmp_path / "a.npy").write_bytes(b"mine")
    batches = iter([plain.sample(np.zeros(3, int), np.arange(3))])  # the second batch fails
    monkeypatch.setattr(plain, "sample", lambda *arguments, **names: next(batches))
    with pytest.raises(RuntimeError):
        write(plain, tmp_path / "a.npy")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("a.npy", b"mine")]


# --- replay


@pytest.fixture
def drawn(classy, conditional, tmp_path):
    """drawn(**wishes): a PNG of the conditional model, and what replay says of it."""

    def sample(**wishes):
        path = tmp_path / "a.png"
        write(classy, path, **wishes)
        return path, lambda: writers.replay(path, read_provenance(path), conditional.onnx, threads=1)

    return sample


@pytest.mark.parametrize(
    "wishes",
    [{}, {"count": 1}, {"label": "#1", "count": 1}, {"label": "all"}, {"sampler": "dpmpp-2m", "steps": 4, "seed": 7},
     {"guidance": 3.5, "label": "ant", "first": 100}, {"eta": 1.0}],
    ids=str,
)  # fmt: skip
def test_replay_samples_the_identical_image(drawn, wishes):
    path, replay = drawn(**wishes)
    again, line = replay()
    assert line == "identical: every pixel"
    np.testing.assert_array_equal(again, read_png(path))


def changed(path, change):
    """The image with other pixels and the same words."""
    image, text = read_png(path), provenance_text(read_provenance(path))
    save_png(path, change(image), text)


def one_pixel(image):
    image[3, 3] ^= 128
    return image


@pytest.mark.parametrize("change", [one_pixel, lambda p: p[:-1], lambda p: p[..., :1], lambda p: 255 - p])
def test_replay_refuses_an_image_that_was_changed(drawn, change):
    path, replay = drawn()
    changed(path, change)
    with pytest.raises(JaxgenError, match="either it was changed after it was sampled, or this"):
        replay()


def test_replay_says_how_far_an_image_is_off(drawn):
    def one_level(image):
        image[3, 3, 0] += 1 if image[3, 3, 0] < 255 else -1
        return image

    path, replay = drawn()
    changed(path, one_level)
    assert replay()[1].startswith("the same: 99.99")
    assert replay()[1].endswith("the largest difference is 1")


def test_replay_refuses_another_model(drawn, unconditional):
    path, _ = drawn()
    with pytest.raises(JaxgenError, match=r"was sampled from model '[0-9a-f]{12}'\.\.\., not from"):
        writers.replay(path, read_provenance(path), unconditional.onnx, threads=1)


def test_replay_names_the_other_model_in_one_line(drawn, conditional):
    path, _ = drawn()
    words = read_provenance(path) | {"model": "\n\x1b[31mred"}
    with pytest.raises(JaxgenError) as caught:
        writers.replay(path, words, conditional.onnx, threads=1)
    assert not {"\n", "\x1b"} & set(str(caught.value))


@pytest.mark.parametrize("count", [0, -1, 4097, 10**9])
def test_replay_does_not_sample_what_no_sheet_holds(drawn, conditional, count):
    path, _ = drawn()
    with pytest.raises(JaxgenError, match="its provenance is not understood") as caught:
        writers.replay(path, read_provenance(path) | {"count": count}, conditional.onnx, threads=1)
    assert type(caught.value) is JaxgenError
