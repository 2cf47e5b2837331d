"""zip: and tar:, whose images are made by Pillow and packed by the standard library."""

import gzip
import io
import json
import tarfile
import zipfile

import pytest
from PIL import Image

from jaxgen import data
from jaxgen.errors import JaxgenError, UsageError


def png(value):
    buffer = io.BytesIO()
    Image.new("L", (4, 4), value).save(buffer, "PNG")
    return buffer.getvalue()


def pack(path, files):
    """Write a ZIP or a tar of these contents, by name."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    else:
        with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as archive:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return f"{'zip' if path.suffix == '.zip' else 'tar'}:{path}"


def by_value(name, split="train"):
    """The class of each image by its grey value."""
    found = data.load(name, split)
    labels = [found.classes[label] if label >= 0 else None for label in found.labels]
    return dict(zip(found.images[:, 0, 0, 0].tolist(), labels, strict=True))


@pytest.fixture(params=["a.zip", "a.tar", "a.tgz"])
def archive(request, tmp_path):
    return tmp_path / request.param


def test_folders_of_an_archive_are_classes(archive):
    files = {f"pets/{kind}/{kind}{n}.png": png(n) for n, kind in enumerate(["dog", "cat"] * 6)}
    name = pack(archive, {**files, "pets/readme.txt": b"hello", "__MACOSX/pets/cat/._x.png": b"junk"})
    ordered = sorted(range(12), key=lambda n: f"{['dog', 'cat'][n % 2]}/{['dog', 'cat'][n % 2]}{n}.png")
    want = {n: ["dog", "cat"][n % 2] for place, n in enumerate(ordered) if place != 9}
    assert by_value(name) == want and data.info(name).classes == ("cat", "dog")
    assert by_value(name, "test") == {ordered[9]: ["dog", "cat"][ordered[9] % 2]}
    assert list(data.catalog.source(name).opened().passed_over) == [f"{archive}/pets/readme.txt"]


def test_folders_of_an_archive_are_splits(archive):
    name = pack(archive, {"train/a/1.png": png(1), "train/b/2.png": png(2), "test/a/3.png": png(3)})
    assert (by_value(name), by_value(name, "test")) == ({1: "a", 2: "b"}, {3: "a"})


def test_loose_image_of_an_archive_is_refused(archive):
    name = pack(archive, {"a/1.png": png(1), "b/2.png": png(2), "3.png": png(3)})
    with pytest.raises(UsageError, match=r"1 image lies beside the folders of classes"):
        by_value(name)
    assert by_value(f"{name}?loose=ignore") == {1: "a", 2: "b"}


def test_archive_is_never_unpacked_to_the_disk(archive):
    assert by_value(pack(archive, {"../outside/1.png": png(1), "./a/2.png": png(2)})) == {2: "a"}
    assert [path.name for path in archive.parent.iterdir()] == [archive.name]


def test_archive_of_something_else_or_a_torn_one_is_one_line(archive):
    kind = "zip" if archive.suffix == ".zip" else "tar"
    with pytest.raises(UsageError, match="there is no such file"):
        data.info(f"{kind}:{archive}")
    with pytest.raises(JaxgenError, match="no images in this archive"):
        data.info(pack(archive, {"a.txt": b"no image"}))
    archive.write_bytes(b"no archive at all")
    with pytest.raises(JaxgenError, match=f"{archive.name}: cannot be read as a (ZIP|tar)"):
        data.info(f"{kind}:{archive}")


def test_damaged_image_of_an_archive_is_named(archive):
    name = pack(archive, {"a/1.png": png(1), "a/2.png": png(2)[:40]})
    with pytest.raises(JaxgenError, match=rf"{archive.name}/a/2\.png: cannot be read as an image"):
        data.load(name)


def examples(values, ending="cls"):
    """The files of a WebDataset's examples: value, class."""
    files = {}
    for number, (value, label) in enumerate(values):
        files[f"{number:06}.png"] = png(value)
        if label is not None:
            text = json.dumps({"label": label, "caption": "x"}) if ending == "json" else f"{label}\n"
            files[f"{number:06}.{ending}"] = text.encode()
    return files


@pytest.mark.parametrize("ending", ["cls", "json", "digit"])
@pytest.mark.parametrize("packed", ["a.tar", "a.tgz"])
def test_examples_of_a_webdataset_have_the_label_of_their_name(tmp_path, ending, packed):
    name = pack(tmp_path / packed, examples([(n, (10, 2)[n % 2]) for n in range(11)], ending))
    name += "?labels=digit" if ending == "digit" else ""
    assert by_value(name) == {n: ("10", "2")[n % 2] for n in range(11) if n != 9}
    assert data.info(name).classes == ("2", "10") and by_value(name, "test") == {9: "2"}


def test_shards_of_a_webdataset_are_one_set_with_splits(tmp_path):
    pack(tmp_path / "pets-train-000000.tar", examples([(1, "cat"), (2, "dog")]))
    pack(tmp_path / "pets-train-000001.tar", examples([(3, "cat")]))
    pack(tmp_path / "pets-val-000000.tar", examples([(4, "dog")]))
    assert by_value(f"tar:{tmp_path}") == {1: "cat", 2: "dog", 3: "cat"}
    assert by_value(f"tar:{tmp_path}", "test") == {4: "dog"}


def test_example_without_a_label_or_an_image_is_refused_or_listed(tmp_path):
    files = {**examples([(1, "cat"), (2, None), (3, "dog")]), "000009.cls": b"cat"}
    name = pack(tmp_path / "a.tar", files)
    with pytest.raises(UsageError, match=r"1 examples have no label, and others have \(000001\.png"):
        data.info(name)
    assert by_value(f"{name}?loose=ignore") == {1: "cat", 3: "dog"}
    assert set(data.catalog.source(f"{name}?loose=ignore").opened().passed_over) == {
        f"{tmp_path}/a.tar/000001.png", f"{tmp_path}/a.tar/000009",
    }  # fmt: skip
    assert by_value(f"{name}?labels=none") == {1: None, 2: None, 3: None}


def test_image_that_unpacks_to_too_much_is_refused_before(tmp_path, monkeypatch):
    from jaxgen.data.forms import zip_files

    monkeypatch.setattr(zip_files, "MAX_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(100_000))
    with pytest.raises(JaxgenError, match=r"a\.zip/a\.png: 100,000 bytes are too many"):
        data.load(f"zip:{tmp_path}/a.zip")


def test_gzip_of_a_tar_that_ends_early_is_one_line(tmp_path):
    pack(tmp_path / "a.tgz", examples([(n, "cat") for n in range(50)]))
    whole = (tmp_path / "a.tgz").read_bytes()
    assert gzip.decompress(whole)
    (tmp_path / "a.tgz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(JaxgenError, match=r"a\.tgz: cannot be read as a tar"):
        data.info(f"tar:{tmp_path}/a.tgz")
