"""The gallery's store: what is kept is found again, whoever writes at the time and whatever happened to the folder."""

import io
import random
import sqlite3
import threading
from dataclasses import asdict
from functools import partial

import numpy as np
import pytest
from kept import files, ids, keep, png, used
from PIL import Image

from jaxgen.errors import UsageError
from jaxgen_serve.gallery.store import MAX_LIMIT, Gallery, NotKept

NOWHERE = "0" * 28


@pytest.fixture
def gallery(tmp_path):
    opened = Gallery(tmp_path / "data" / "gallery")
    yield opened
    opened.close()


def test_kept_image_is_given_back_with_all_that_it_was_sampled_from(gallery):
    asked = used(label=3, class_name="cat", guidance=1.5, seed=2**32 - 1, index=2**32 - 2, eta=0.5, untrained=True)
    (kept,), _ = gallery.add([(asked, png(9))])
    assert {key: value for key, value in asdict(gallery.get(kept.id)).items() if key in asked} == asked
    assert gallery.get(kept.id).untrained is True
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(gallery.png(kept.id)))), np.full((4, 4), 9))


def test_image_that_is_kept_already_stays_one_row_and_comes_back_if_it_was_deleted(gallery, tmp_path):
    asked = used(index=4, label=3, guidance=1.5)
    others = [used(index=4), used(index=4, label=3, guidance=1.5, steps=21), used(index=4, label=2, guidance=1.5)]
    others += [used(index=4, label=3, guidance=1.5, sha256="b" * 64), used(index=5, label=3, guidance=1.5)]
    (first, twin), new = gallery.add([(asked, png(1)), (asked | {"model": "renamed"}, png(1))])
    assert (first.id, new) == (twin.id, 1)
    assert gallery.add([(one, png(2)) for one in others])[1] == len(others)  # each differs in one thing
    gallery.set_favourite(first.id, True)
    gallery.delete(first.id)
    (again, fresh), new = gallery.add([(asked, png(1)), (used(index=6), png(3))])
    assert (again.id, new, gallery.get(first.id).favourite) == (first.id, 1, True)
    assert gallery.search().total == 7
    (tmp_path / "data/gallery/pictures" / f"{fresh.id}.png").unlink()  # somebody took its file away
    (whole,), new = gallery.add([(used(index=6), png(3))])
    assert (gallery.png(whole.id), new) == (png(3), 1)


def test_images_outlive_a_restart(gallery, tmp_path):
    first, second = keep(gallery, 2)
    gallery.set_favourite(first, True)
    gallery.delete(second)
    gallery.close()
    again = Gallery(tmp_path / "data" / "gallery")
    assert [(image.id, image.favourite) for image in again.search().images] == [(first, True)]
    assert again.restore(second).id == second  # to undo is possible after a restart, too
    assert again.png(second) == png(1)
    again.close()


def matches(row: dict, *, model=None, label=None, seed=None, favourite=None) -> bool:
    """The search's meaning, in Python."""
    of_label = label is None or label == row["class_name"] or str(label) == str(row["label"])
    if label == -1:
        of_label = row["label"] is None
    same = ((model, row["model"]), (seed, row["seed"]), (favourite, row["favourite"]))
    return of_label and all(want is None or want == got for want, got in same)


@pytest.mark.parametrize("luck", range(3))
def test_search_and_paging_agree_with_a_list_that_is_filtered(gallery, luck):
    rng = random.Random(luck)
    rows: list[dict] = []  # oldest first
    classes = [None, "zero", "2", "one"]  # the class 1 is called 2
    for _ in range(60):
        number = rng.randrange(4)
        chosen = used(
            model=rng.choice(["digits", "punks"]), seed=rng.randrange(3), label=number - 1 if number else None,
            class_name=classes[number],
        )  # fmt: skip
        rows += [chosen | {"id": name, "favourite": False} for name in keep(gallery, rng.randint(1, 3), **chosen)]
        row = rng.choice(rows)
        row["favourite"] = rng.random() < 0.5
        gallery.set_favourite(row["id"], row["favourite"])
        if rng.random() < 0.3:
            gone = rows.pop(rng.randrange(len(rows)))
            gallery.delete(gone["id"])
            if rng.random() < 0.5:  # it comes back to where it was
                gallery.restore(gone["id"])
                rows = sorted([*rows, gone], key=lambda row: row["id"])
    for _ in range(40):
        query = {"model": rng.choice([None, "digits", "punks", "else"]), "seed": rng.choice([None, 0, 1, 5])}
        query |= {"label": rng.choice([None, -1, 1, "1", "2", "one", "no such"])}
        query |= {"favourite": rng.choice([None, True, False])}
        want = [row["id"] for row in reversed(rows) if matches(row, **query)]
        limit, seen, before = rng.randint(1, 30), [], None
        while True:
            page = gallery.search(**query, limit=limit, before=before)
            assert page.total == len(want)
            assert len(page.images) == min(limit, len(want) - len(seen))
            seen += [image.id for image in page.images]
            if (before := page.next) is None:
                break
        assert seen == want, query


def test_paging_is_not_disturbed_by_what_is_kept_meanwhile_nor_by_a_clock_set_back(gallery, monkeypatch):
    oldest = keep(gallery, 6)
    page = gallery.search(limit=2)
    monkeypatch.setattr("time.time_ns", lambda: 10**15)  # 1970
    later = keep(gallery, 2)
    gallery.delete(page.next)  # a page may begin at an image that is gone
    rest = ids(gallery, before=page.next)
    assert [image.id for image in page.images] + rest == oldest[::-1]
    assert ids(gallery)[:2] == later[::-1]


def test_deleted_image_is_gone_until_it_is_restored(gallery):
    (name,) = keep(gallery)
    gallery.delete(name)
    for ask in (gallery.get, gallery.png, gallery.delete, partial(gallery.set_favourite, favourite=True)):
        with pytest.raises(NotKept):
            ask(name)
    assert gallery.search().total == 0
    gallery.restore(name)
    gallery.restore(name)
    assert gallery.png(name) == png()


def test_deleted_images_are_purged_after_a_day_and_not_before(tmp_path):
    gallery = Gallery(tmp_path)
    old, new, kept = keep(gallery, 3)
    gallery.delete(old)
    gallery.delete(new)
    with sqlite3.connect(tmp_path / "gallery.sqlite3") as database:
        database.execute("UPDATE pictures SET deleted_at = deleted_at - 86400 WHERE id = ?", (old,))
        database.execute("UPDATE pictures SET deleted_at = deleted_at - 86300 WHERE id = ?", (new,))
    gallery.close()
    gallery = Gallery(tmp_path)
    assert files(tmp_path) == {f"{new}.png", f"{kept}.png"}
    with pytest.raises(NotKept):
        gallery.restore(old)
    assert gallery.restore(new).id == new
    gallery.close()


def test_deleted_images_are_purged_by_a_gallery_that_stays_open(tmp_path):
    gallery = Gallery(tmp_path, keep_deleted=0)
    first, second, third = keep(gallery, 3)
    gallery.delete(first)
    gallery.set_favourite(second, True)
    assert files(tmp_path) == {f"{second}.png", f"{third}.png"}
    gallery.close()


def test_full_gallery_refuses_and_deleted_images_make_room(tmp_path):
    gallery = Gallery(tmp_path, max_images=3)
    kept = keep(gallery, 3)
    with pytest.raises(UsageError, match="holds 3 of at most 3"):
        keep(gallery)
    assert files(tmp_path) == {f"{name}.png" for name in kept}
    gallery.delete(kept[0])
    (new,) = keep(gallery)
    assert files(tmp_path) == {f"{name}.png" for name in (*kept[1:], new)}
    gallery.close()


@pytest.mark.parametrize(
    "name", ["", "..", "../gallery.sqlite3", "0" * 27, "0" * 28 + "\n", "A" * 28, NOWHERE, "ä" * 99]
)
def test_id_that_is_none_is_not_found(gallery, name):
    for ask in (
        gallery.get,
        gallery.png,
        gallery.delete,
        gallery.restore,
        lambda name: gallery.set_favourite(name, True),
    ):
        with pytest.raises(NotKept, match="the gallery has no image '") as caught:
            ask(name)
        assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"limit": 0}, "limit must be from 1 to 200, got 0"),
        ({"limit": MAX_LIMIT + 1}, "limit must be from 1 to 200, got 201"),
        ({"before": "../x"}, "before must be the id of an image, got '../x'"),
        ({"seed": -1}, "seed must be from 0 to 2^32 - 1, got -1"),
        ({"seed": 2**70}, "seed must be from 0 to 2^32 - 1, got"),
    ],
)
def test_search_out_of_range_says_the_range(gallery, query, said):
    with pytest.raises(UsageError) as caught:
        gallery.search(**query)
    assert str(caught.value).startswith(said)


def test_image_whose_file_is_taken_away_is_not_found_and_leaves_the_list(gallery, tmp_path):
    kept, lost = keep(gallery, 2)
    (tmp_path / "data" / "gallery" / "pictures" / f"{lost}.png").unlink()
    with pytest.raises(NotKept, match="is gone"):
        gallery.png(lost)
    assert ids(gallery) == [kept]


def test_many_threads_lose_nothing(gallery):
    kept: list[str] = []

    def work() -> None:
        for _ in range(5):
            mine = keep(gallery, 2)
            gallery.set_favourite(mine[0], True)
            gallery.delete(mine[1])
            assert gallery.png(mine[0]) == png()
            assert mine[0] in ids(gallery, favourite=True)
            kept.append(mine[0])

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kept) == 40  # none of the threads failed
    assert set(ids(gallery, limit=200)) == set(kept)
