"""evaluation.json, and what a command may change of it."""

from pathlib import Path

import pytest

from jaxgen.errors import UsageError
from jaxgen.runs.evaluation import COUNT, Evaluation, EvaluationRequest, agreed, read_evaluation, write_evaluation
from jaxgen.runs.folder import RunFolder

BEFORE = Evaluation(every=50, count=300, extractor=Path("/there/reader.onnx"), sha256="ab" * 32)


@pytest.fixture
def run(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    return RunFolder(tmp_path)


@pytest.mark.parametrize("evaluation", [BEFORE, Evaluation(every=7, sha256="00")])
def test_what_was_written_reads_back_equal(run, evaluation):
    write_evaluation(run, evaluation)
    assert read_evaluation(run) == evaluation
    write_evaluation(run, None)
    assert read_evaluation(run) is None and not (run.path / "evaluation.json").exists()
    write_evaluation(run, None)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"every": "x", "count": 1, "extractor": null, "sha256": ""}'])
def test_broken_file_means_no_evaluation(run, text):
    (run.path / "evaluation.json").write_text(text)
    assert read_evaluation(run) is None


def test_new_run_is_evaluated_as_asked(run):
    assert agreed(EvaluationRequest(), run, resume=False) is None
    assert agreed(EvaluationRequest(5), run, resume=False) == Evaluation(every=5, count=COUNT)
    path = Path("x.onnx")
    assert agreed(EvaluationRequest(5, 40, path), run, resume=True) == Evaluation(every=5, count=40, extractor=path)


def test_resumed_run_keeps_what_is_not_asked_for(run):
    write_evaluation(run, BEFORE)
    assert agreed(EvaluationRequest(), run, resume=True) == BEFORE
    moved = agreed(EvaluationRequest(20, 300, Path("moved.onnx")), run, resume=True)
    assert moved == Evaluation(every=20, count=300, extractor=Path("moved.onnx"), sha256=BEFORE.sha256)


def test_same_command_without_evaluation_stops_it_but_forgets_nothing(run):
    write_evaluation(run, BEFORE)
    off = agreed(EvaluationRequest(), run, resume=False)
    assert (off.every, off.sha256) == (0, BEFORE.sha256)
    run.checkpoints.rmdir()  # nothing was scored yet
    assert agreed(EvaluationRequest(), run, resume=False) is None


def test_another_number_of_images_is_refused(run):
    write_evaluation(run, BEFORE)
    with pytest.raises(UsageError, match=r"^--eval-count: .* was scored with 300 images, and scores with 40 are not"):
        agreed(EvaluationRequest(count=40), run, resume=True)


@pytest.mark.parametrize("asked", [EvaluationRequest(None, 40), EvaluationRequest(0, None, Path("x.onnx"))])
def test_details_without_an_evaluation_are_refused(run, asked):
    with pytest.raises(UsageError, match=r"^--eval-count and --extractor belong to --eval-every, which is not given$"):
        agreed(asked, run, resume=False)
