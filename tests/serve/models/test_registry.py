"""Models that come, change and go while they are asked for; files that are not what they should be."""

import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from later import FORMAT_2, of

from jaxgen.errors import JaxgenError, UsageError
from jaxgen.inference.model import Model
from jaxgen_serve.batching.engine import Engine
from jaxgen_serve.models.description import described
from jaxgen_serve.models.registry import Library, NotServed


@pytest.fixture
def folder(tmp_path) -> Path:
    made = tmp_path / "models"
    made.mkdir()
    return made


@pytest.fixture
def vae(family):
    return family("vae")


@pytest.fixture
def other_vae(vae, restamped) -> Path:
    """The same weights in another file: another hash."""
    return restamped(vae.onnx, manifest=lambda entries: entries["training"].update(steps=99))


def put(source: Path, target: Path) -> None:
    """As a careful writer replaces a file: at once."""
    aside = target.with_name(f".{target.name}.tmp")
    shutil.copyfile(source, aside)
    aside.replace(target)


def names(library: Library) -> list[str]:
    return [model.name for model in library.models()]


def require_no_path(library: Library, folder: Path) -> None:
    for why in library.refused.values():
        assert "\n" not in why
        assert str(folder) not in why
        assert str(folder.parent) not in why


# --- names


def test_models_come_in_the_order_given_and_alphabetically_in_folders(folder, vae, unconditional, conditional):
    for name in ("b", "a", "c"):
        shutil.copyfile(vae.onnx, folder / f"{name}.onnx")
    (folder / "readme.txt").write_text("no model")
    single = folder.parent / "z.onnx"
    shutil.copyfile(unconditional.onnx, single)
    extra = folder.parent / "uploads"
    (extra / "0123").mkdir(parents=True)
    shutil.copyfile(conditional.onnx, extra / "0123" / "sent.onnx")
    library = Library([single, folder], extra=extra)
    assert names(library) == ["z", "a", "b", "c", "sent"]
    assert library.get(None).name == "z"
    found = library.get("sent")
    assert (found.path, found.size) == (extra / "0123" / "sent.onnx", conditional.onnx.stat().st_size)
    assert library.refused == {}


def test_unknown_name_is_answered_with_those_there_are(folder, vae):
    with pytest.raises(NotServed, match="no model is served here yet"):
        Library([folder]).get(None)
    shutil.copyfile(vae.onnx, folder / "faces.onnx")
    library = Library([folder])
    with pytest.raises(NotServed, match=r"no model 'face' \(did you mean 'faces'\?\); there is faces") as caught:
        library.get("face")
    assert isinstance(caught.value, UsageError)
    with pytest.raises(NotServed) as caught:
        library.get("x" * 5000 + "\n")
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)


def test_second_file_of_a_name_is_refused_until_the_first_goes(folder, vae, unconditional):
    first, second = folder / "one" / "digits.onnx", folder / "two" / "digits.onnx"
    for source, target in ((vae.onnx, first), (unconditional.onnx, second)):
        target.parent.mkdir()
        shutil.copyfile(source, target)
    library = Library([first.parent, second.parent])
    assert library.get("digits").path == first
    assert library.refused == {"digits.onnx": "the name 'digits' is taken by another file; rename one of them"}
    first.unlink()
    library.refresh()
    assert library.get("digits").path == second
    assert library.refused == {}


# --- files that sample nothing


def test_messages_of_a_model_know_it_by_its_name_alone(folder, unconditional):
    shutil.copyfile(unconditional.onnx, folder / "plain.onnx")
    model = Library([folder]).get("plain").model
    with pytest.raises(UsageError, match=r"^plain is unconditional: it takes no label$"):
        model.label("3")
    with pytest.raises(JaxgenError, match=r"^plain: stopped after"):
        model.sample(np.zeros(64, int), np.arange(64), plan=np.repeat(model.plan(), 1000, axis=0), deadline=0.01)


def test_file_that_samples_nothing_is_refused_with_the_reason(folder, family, vae):
    shutil.copyfile(family("classifier").onnx, folder / "judge.onnx")
    shutil.copyfile(vae.encoder, folder / "reads.onnx")
    (folder / "broken.onnx").write_bytes(vae.onnx.read_bytes()[:-100])
    (folder / "text.onnx").write_text("hello")
    (folder / "pit.onnx").mkdir()
    library = Library([folder, folder / "missing.onnx"])
    assert names(library) == []
    wanted = {
        "judge.onnx": "judge: generates no images: it is a classifier, which reads images",
        "reads.onnx": "reads: generates no images: it is an encoder, which reads images",
        "broken.onnx": "broken: is ",
        "text.onnx": "text: is not an ONNX file or is damaged",
        "pit.onnx": "pit: expected a file, got a folder, pipe or device",
        "missing.onnx": "there is no such file",
    }
    assert library.refused.keys() == wanted.keys()
    for name, why in wanted.items():
        assert library.refused[name].startswith(why)
    require_no_path(library, folder)


def test_log_says_of_a_replacement_that_fails_that_the_earlier_file_stays(folder, vae, caplog):
    shutil.copyfile(vae.onnx, folder / "vae.onnx")
    library = Library([folder])
    (folder / "vae.onnx").write_text("hello")
    (folder / "other.onnx").write_text("hello")
    library.refresh(patient=True)
    library.refresh(patient=True)
    assert names(library) == ["vae"]
    lines = caplog.messages
    assert len(lines) == 2
    assert "vae.onnx: not replaced, the earlier file is still served: " in "\n".join(lines)
    assert "other.onnx: not served: " in "\n".join(lines)


# --- encoders


def test_encoder_is_attached_to_the_model_beside_it(folder, vae, unconditional):
    shutil.copyfile(vae.onnx, folder / "vae.onnx")
    library = Library([folder])
    assert library.get("vae").encoder is None
    shutil.copyfile(vae.encoder, folder / "vae.encoder.onnx")
    shutil.copyfile(vae.encoder, folder / "nobodys.encoder.onnx")
    model = library.get("vae").model
    library.refresh()
    assert names(library) == ["vae"]
    assert library.refused == {}
    encoder = library.get("vae").encoder
    assert encoder is not None
    assert encoder.read(np.zeros((2, 8, 8, 1), np.uint8))["mean"].shape == (2, 3)
    assert library.get("vae").model is model  # its own file is what it was
    (folder / "vae.encoder.onnx").unlink()
    library.refresh()
    assert library.get("vae").encoder is None


def test_encoder_of_other_weights_is_refused_and_the_model_served(folder, vae, family, unconditional, restamped):
    shutil.copyfile(vae.onnx, folder / "vae.onnx")
    shutil.copyfile(family("classifier").onnx, folder / "vae.encoder.onnx")
    shutil.copyfile(unconditional.onnx, folder / "ddpm.onnx")
    shutil.copyfile(vae.encoder, folder / "ddpm.encoder.onnx")
    library = Library([folder])
    assert names(library) == ["ddpm", "vae"]
    assert library.get("vae").encoder is None
    assert "expected an encoder, got a classifier" in library.refused["vae.encoder.onnx"]
    assert "ddpm samples by a plan" in library.refused["ddpm.encoder.onnx"]
    put(
        restamped(vae.encoder, manifest=lambda entries: entries["weights"].update(sha256="0" * 64)),
        folder / "vae.encoder.onnx",
    )
    library.refresh()
    assert "is not the encoder of vae: their weights differ" in library.refused["vae.encoder.onnx"]
    assert library.get("vae").encoder is None
    require_no_path(library, folder)


# --- changes


def test_changed_file_is_swapped_in_and_the_old_model_goes_on(folder, vae, other_vae):
    path = folder / "vae.onnx"
    shutil.copyfile(vae.onnx, path)
    library = Library([folder])
    old = library.get("vae")
    want, _ = old.model.sample([1], [2])
    put(other_vae, path)
    library.refresh()
    new = library.get("vae")
    assert new.model.artifact.sha256 == Model.open(other_vae).artifact.sha256 != old.model.artifact.sha256
    np.testing.assert_array_equal(old.model.sample([1], [2])[0], want)


def test_broken_replacement_keeps_what_was_served(folder, vae):
    path = folder / "vae.onnx"
    shutil.copyfile(vae.onnx, path)
    shutil.copyfile(vae.encoder, folder / "vae.encoder.onnx")
    library = Library([folder])
    before = library.get("vae")
    path.write_bytes(vae.onnx.read_bytes()[:-1] + b"x")
    (folder / "vae.encoder.onnx").write_text("no encoder")
    library.refresh()
    assert library.get("vae") is before
    assert library.refused["vae.onnx"].startswith("vae: is ")
    shutil.copyfile(vae.onnx, path)
    library.refresh()
    assert library.refused.keys() == {"vae.encoder.onnx"}
    assert library.get("vae").encoder is before.encoder  # of these weights still
    require_no_path(library, folder)


def test_removed_file_goes_away(folder, vae, unconditional):
    shutil.copyfile(vae.onnx, folder / "a.onnx")
    shutil.copyfile(unconditional.onnx, folder / "b.onnx")
    library, named = Library([folder]), Library([folder / "a.onnx"])
    (folder / "a.onnx").unlink()
    library.refresh(patient=True)
    assert names(library) == ["b", "a"]  # it may be coming back
    library.refresh(patient=True)
    assert (names(library), library.refused) == (["b"], {})
    named.refresh()
    assert (names(named), named.refused) == ([], {"a.onnx": "there is no such file"})


def test_file_that_is_being_written_waits(folder, vae):
    library, whole = Library([folder]), vae.onnx.read_bytes()
    with (folder / "vae.onnx").open("wb", buffering=0) as stream:
        for start in range(0, len(whole), len(whole) // 3):
            stream.write(whole[start : start + len(whole) // 3])
            library.refresh(patient=True)
            assert (names(library), library.refused) == ([], {})
    library.refresh(patient=True)
    assert names(library) == ["vae"]


def test_no_request_fails_while_a_file_is_replaced_again_and_again(folder, vae, other_vae):
    path = folder / "vae.onnx"
    shutil.copyfile(vae.onnx, path)
    library, engine = Library([folder], interval=0.01, threads=1), Engine()
    library.start()
    want, _ = Model.open(vae.onnx).sample([7], [0])
    done, hashes, failed = threading.Event(), set(), []

    def client() -> None:
        while not done.is_set():
            try:
                one = library.get("vae")
                images, _ = engine.sample(one, [7], [0], deadline=20).result()
                np.testing.assert_array_equal(images, want)
                hashes.add(one.model.artifact.sha256)
            except Exception as err:
                failed.append(err)
                raise

    threads = [threading.Thread(target=client) for _ in range(2)]
    for thread in threads:
        thread.start()
    for turn in range(10):
        content = (other_vae, vae.onnx)[turn % 2]
        want_hash = Model.open(content).artifact.sha256
        if turn % 3:
            put(content, path)
        else:  # half of it, and after a while the rest
            data = content.read_bytes()
            path.write_bytes(data[:1000])
            time.sleep(0.05)
            path.write_bytes(data)
        end = time.monotonic() + 20
        while library.get("vae").model.artifact.sha256 != want_hash and time.monotonic() < end:
            time.sleep(0.005)
        assert library.get("vae").model.artifact.sha256 == want_hash
    done.set()
    for thread in threads:
        thread.join()
    library.close()
    engine.close()
    assert not failed
    assert len(hashes) == 2


@pytest.mark.parametrize("steps", [1, 10])
def test_plan_of_one_step_is_as_quick_as_no_plan(steps, restamped, monkeypatch):
    opened, hows = Model.of, []
    monkeypatch.setattr(Model, "of", lambda artifact, **how: hows.append(how) or opened(artifact, **how))
    path = restamped(FORMAT_2 / "ddpm.onnx", manifest=of("plan.steps", steps))
    model = Library([path]).get(None).model
    assert hows == [{"threads": 1 if steps == 1 else None, "spin": steps > 1}]
    assert described(model, name="m", size=1, encoder=False, max_steps=99)["quick"] is (steps == 1)
