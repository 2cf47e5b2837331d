"""The config of a student, which is its teacher's but for the plan, the prediction and the training."""

from dataclasses import replace
from typing import get_args, get_type_hints

import pytest

from jaxgen import config as configs
from jaxgen.config import DDPM, DistillationConfig, UNetConfig, students
from jaxgen.config.presets import PRESETS, preset
from jaxgen.config.students import student_of
from jaxgen.errors import UsageError
from jaxgen.sampling.sampler_spec import SamplerSpec
from jaxgen.training.students import METHODS


def test_every_method_is_in_each_table():
    (choices,) = [get_args(get_type_hints(DistillationConfig)["method"])]
    assert set(students.METHODS) == set(METHODS) == set(choices) - {"none"}
    assert students.DEFAULT in METHODS


@pytest.mark.parametrize("name", [name for name, config in PRESETS.items() if config.family in ("ddpm", "flow")])
def test_student_of_a_preset_differs_in_what_it_must(name):
    teacher = preset(name)
    student = student_of(teacher, 1)
    changed = set(configs.differences(teacher, student))
    section = {"ddpm": "diffusion", "flow": "flow"}[teacher.family]
    allowed = {"name", "distillation.method", "distillation.teacher_steps", "distillation.teacher_guidance"}
    allowed |= {f"{section}.{key}" for key in ("prediction", "sampler", "sampler_steps", "eta", "guidance")}
    assert changed <= allowed | {key for key in changed if key.startswith("training.")}
    assert student.name == f"{name}-1step" and student.plan.steps == 1 and student.guidance == 1
    assert (teacher.distilled, student.distilled.method) == (None, students.DEFAULT)
    assert configs.from_dict(configs.to_dict(student)) == student


@pytest.mark.parametrize(
    ("family", "method", "steps", "plan"),
    [
        ("ddpm", "reflow", 4, SamplerSpec("ddim", 4, 0.0)),
        ("ddpm", "consistency", 1, SamplerSpec("ddim", 1, 0.0)),
        ("ddpm", "adversarial", 2, SamplerSpec("ddim", 2, 1.0)),  # fresh noise for the second row
        ("flow", "adversarial", 2, SamplerSpec("euler", 2)),
    ],
)
def test_plan_of_a_student_has_its_rows(family, method, steps, plan):
    student = student_of(preset(f"{family}-digits"), steps, method=method)
    assert student.plan == plan and student.distilled.teacher_steps % steps == 0


def test_student_predicts_what_its_first_step_can_be_made_from():
    eps, x0 = (replace(DDPM(), diffusion=replace(DDPM().diffusion, prediction=word)) for word in ("eps", "x0"))
    assert [student_of(config, 1).diffusion.prediction for config in (eps, x0)] == ["v", "x0"]


def test_teachers_own_guidance_is_folded_in_unless_another_is_asked_for():
    teacher = replace(DDPM(model=UNetConfig(classes=3)), diffusion=replace(DDPM().diffusion, guidance=2.5))
    scales = [student_of(teacher, 1, guidance=scale).distilled.teacher_guidance for scale in (None, 1.5)]
    assert scales == [2.5, 1.5]


def test_teacher_of_few_steps_is_taken_in_as_many():
    teacher = replace(DDPM(), diffusion=replace(DDPM().diffusion, steps=10, sampler_steps=10))
    assert [student_of(teacher, steps).distilled.teacher_steps for steps in (1, 3, 4)] == [10, 9, 8]


@pytest.mark.parametrize(
    ("config", "steps", "options", "words"),
    [
        (preset("vae-digits"), 1, {}, "vae-digits is of family 'vae', which samples in one evaluation already: there"),
        (preset("gan-digits"), 1, {}, "gan-digits is of family 'gan', which samples in one evaluation already"),
        (preset("classifier-digits"), 1, {}, "of family 'classifier', which generates no images: there is nothing"),
        (student_of(preset("ddpm-digits"), 2), 1, {}, "is a student of 2 steps; distil its own teacher"),
        (preset("ddpm-digits"), 1001, {}, "--steps must be from 1 to 1000, the most that ddpm-digits takes, got 1001"),
        (preset("ddpm-digits"), 1, {"guidance": 2.0}, r"teacher_guidance must be 1 without classes"),
        (preset("ddpm-digits"), 1, {"method": "refow"}, "unknown method 'refow' .did you mean 'reflow'"),
        (preset("ddpm-digits"), 1, {"settings": ("training.steps=0",)}, "training.steps must be above 0 for a student"),
        (preset("ddpm-digits"), 5, {"settings": ("distillation.teacher_steps=12",)}, "a multiple of the student's 5"),
        (preset("ddpm-digits"), 1, {"settings": ("distillation.pairs=0",)}, "distillation.pairs must be from 1"),
        (preset("ddpm-digits"), 1, {"settings": ("distillation.pairs=9",)}, "at least a batch .128., got 9"),
        (preset("ddpm-digits"), 1, {"settings": ("distillation.adversarial_weight=-1",)}, "weight must be >= 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_distilled_is_one_line(config, steps, options, words):
    with pytest.raises(UsageError, match=words) as refused:
        student_of(config, steps, **options)
    assert "\n" not in str(refused.value)
