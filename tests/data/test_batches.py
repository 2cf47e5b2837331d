import numpy as np
import pytest
from PIL import Image

from jaxgen import data
from jaxgen.data.batches import StreamedBatches, permutation
from jaxgen.errors import JaxgenError, UsageError

COUNT, BATCH = 23, 4  # 5 whole batches, 3 images left over


@pytest.fixture(params=["memory", "streamed"])
def make(request, tmp_path):
    """make(batch_size, ...) -> batches of images whose grey value is their row, from memory or through Grain."""
    if request.param == "memory":
        images = np.tile(np.arange(COUNT, dtype=np.uint8).reshape(-1, 1, 1, 1), (1, 2, 2, 1))
        given, limit = data.Dataset(images, np.arange(COUNT, dtype=np.int32)), {}
    else:
        for i in range(100, 100 + COUNT + 2):  # every tenth of the 25 is a test image
            Image.new("L", (2, 2), i - 100).save(tmp_path / f"{i}.png")
        given, limit = f"folder:{tmp_path}", {"memory_limit": 0, "size": 2, "channels": 1}

    def batches(batch_size=BATCH, seed=0, **options):
        made = data.batches(given, batch_size, seed=seed, **limit, **options)
        assert isinstance(made, StreamedBatches) == bool(limit)
        return made

    return batches


def rows(*batches):
    """The grey values of batches, which tell the images apart."""
    return [value for images, _ in batches for value in images[:, 0, 0, 0].tolist()]


def test_batch_has_the_promised_shapes_and_types(make):
    images, labels = make()[3]
    assert (images.shape, images.dtype) == ((BATCH, 2, 2, 1), np.uint8)
    assert (labels.shape, labels.dtype) == ((BATCH,), np.int32)
    assert make().shape == (2, 2, 1)


@pytest.mark.parametrize("epoch", [0, 1, 7])
def test_epoch_shows_no_image_twice_and_drops_the_rest(make, epoch):
    batches = make()
    assert batches.steps_per_epoch == COUNT // BATCH == 5
    seen = rows(*(batches[epoch * 5 + i] for i in range(5)))
    assert len(seen) == len(set(seen)) == 20


def test_batch_is_a_function_of_the_step_alone(make):
    forwards = make()
    want = [rows(forwards[step]) for step in range(12)]
    backwards = make()
    assert [rows(backwards[step]) for step in reversed(range(12))] == want[::-1]


def test_other_epochs_and_seeds_come_in_other_orders(make):
    orders = [[rows(make(seed=seed)[epoch * 5 + i]) for i in range(5)] for seed in (0, 1) for epoch in (0, 1)]
    assert all(a != b for i, a in enumerate(orders) for b in orders[:i])


def test_every_image_occurs_within_some_epochs(make):
    batches = make()
    assert len(set(rows(*(batches[step] for step in range(50))))) == COUNT


@pytest.mark.parametrize("processes", [2, 4])
@pytest.mark.parametrize("step", [0, 4, 5, 13])
def test_slices_of_all_processes_are_the_batch_of_one(make, processes, step):
    slices = [make(process_index=p, process_count=processes)[step] for p in range(processes)]
    assert {len(part[0]) for part in slices} == {BATCH // processes}
    assert rows(*slices) == rows(make()[step])


def test_labels_belong_to_their_images():
    digits = data.load("digits")
    images, labels = data.batches(digits, 50, seed=3)[40]
    known = {image.tobytes(): label for image, label in zip(digits.images, digits.labels, strict=True)}
    assert [known[image.tobytes()] for image in images] == labels.tolist()


def test_palette_is_that_of_images_in_memory(make):
    in_memory = not isinstance(make(), StreamedBatches)
    assert make().palette == (tuple(f"#{3 * f'{row:02x}'}" for row in range(COUNT)) if in_memory else ())


def test_small_folder_is_read_into_memory_and_gives_the_same_images(tmp_path):
    for i in range(9):
        Image.new("L", (2, 2), i).save(tmp_path / f"{i}.png")
    batches = data.batches(f"folder:{tmp_path}", 9, seed=0, size=2, channels=1)
    assert not isinstance(batches, StreamedBatches)
    assert sorted(rows(batches[0])) == list(range(9))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"batch_size": COUNT + 1}, r"larger than the dataset, which has 23 images; --set training\.batch_size=16$"),
        ({"batch_size": 30, "process_count": 3}, r"which has 23 images; --set training\.batch_size=12$"),
        ({"batch_size": 0}, ">= 1"),
        ({"process_count": 3}, "multiple of the 3 processes"),
        ({"process_index": 2, "process_count": 2}, "process_index"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
    ],
)
def test_batches_that_cannot_be_are_usage_errors(make, options, says):
    with pytest.raises(UsageError, match=says):
        make(**options)


@pytest.mark.parametrize("limit", [{}, {"memory_limit": 0}], ids=["memory", "streamed"])
@pytest.mark.parametrize("known", [True, False], ids=["labels known", "labels read"])
def test_image_without_a_class_reaches_no_batch_that_must_have_them(limit, known):
    class Odd:
        """Images 0 to 9 of three classes, of which one has none."""

        classes, shape = ("a", "b", "c"), (2, 2, 1)
        labels = np.array([0, 1, 2, 0, 1, 2, -1, 0, 1, 2], np.int32) if known else None

        def __len__(self):
            return 10

        def read(self, rows):
            return [(np.full((2, 2, 1), row, np.uint8), -1 if row == 6 else row % 3) for row in rows]

    def all_batches(labelled):
        batches = data.batches(Odd(), 5, seed=0, labelled=labelled, **limit)
        return [batches[step] for step in range(batches.steps_per_epoch)]

    assert sum((labels == -1).sum() for _, labels in all_batches(False)) == 1
    with pytest.raises(JaxgenError, match=r"1 of (5|10) images have no class \(of 3\)"):
        all_batches(True)


def test_negative_step_raises(make):
    with pytest.raises(IndexError, match="-1"):
        make()[-1]


def test_permutation_is_a_permutation_and_never_changes():
    order = permutation(1000, seed=5, epoch=2)
    assert sorted(order.tolist()) == list(range(1000))
    # Pinned: runs of an older version must resume with the batches they would have had.
    assert permutation(8, seed=0, epoch=0).tolist() == [3, 2, 1, 6, 0, 7, 4, 5]
