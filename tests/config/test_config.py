import dataclasses
import tomllib

import pytest

from jaxgen import config as configs
from jaxgen.config import DDPM, FAMILIES, DataConfig, DiffusionConfig
from jaxgen.config.presets import PRESETS
from jaxgen.errors import UsageError

ODD = configs.override(
    DDPM(),
    [
        "name='é\"ü 😀'",
        "data.dataset='folder:C:\\new \"x\"'",
        "data.size=28",
        "model.multipliers=[1, 2, 4]",
        "model.attention=[7]",
        "training.lr=1e-05",
        "training.optimizer=lion",
        "training.weight_decay=1",
    ],
)


def refusal(*settings: str) -> str:
    with pytest.raises(UsageError) as refused:
        configs.override(DDPM(), settings)
    message = str(refused.value)
    assert "\n" not in message
    return message


DEFAULTS = [family() for family in FAMILIES.values()]


@pytest.mark.parametrize("config", [*DEFAULTS, ODD, *PRESETS.values()], ids=lambda c: f"{c.family}-{c.name}")
def test_toml_text_reads_back_as_the_same_config(config, tmp_path):
    file = tmp_path / "config.toml"
    file.write_text(configs.dumps(config), encoding="utf-8")
    assert configs.load(file) == config
    assert tomllib.loads(configs.dumps(config))["training"]["lr"] == config.training.lr  # TOML for every reader


def test_any_printable_text_survives_toml(tmp_path):
    text = "folder:" + "".join(chr(i) for i in [9, 10, *range(32, 128), 0x85, 0x2028, 0xE9, 0x1F600])
    config = dataclasses.replace(DDPM(), data=DataConfig(dataset=text))
    (tmp_path / "c.toml").write_text(configs.dumps(config), encoding="utf-8", newline="")
    assert configs.load(tmp_path / "c.toml").data.dataset == text


def test_override_sets_values_of_every_type_and_leaves_the_rest():
    settings = ["training.lr=1e-3", "training.steps = 400", "model.multipliers=[1,3]", "data.dataset=mnist"]
    settings += ["diffusion.schedule='sigmoid'", "name=mine", "training.ema=0"]
    changed = configs.override(DDPM(), settings)
    assert configs.differences(DDPM(), changed) == {
        "name": ("custom", "mine"),
        "data.dataset": ("digits", "mnist"),
        "model.multipliers": ([1, 2], [1, 3]),
        "diffusion.schedule": ("linear", "sigmoid"),
        "training.steps": (0, 400),
        "training.lr": (3e-4, 1e-3),
        "training.ema": (0.999, 0.0),
    }
    assert isinstance(changed.training.ema, float) and changed.model.multipliers == (1, 3)


def test_file_changes_only_what_it_names(tmp_path):
    file = tmp_path / "c.toml"
    file.write_text("[training]\nlr = 1\n")
    base = PRESETS["ddpm-mnist"]
    assert configs.differences(base, configs.load(file, base)) == {"training.lr": (1e-3, 1.0)}
    assert configs.load(file) == configs.override(DDPM(), ["training.lr=1"])


@pytest.mark.parametrize(
    ("setting", "suggestion"),
    [
        ("training.lrr=1", "did you mean 'training.lr'?"),
        ("trainng.batch_size=1", "did you mean 'training.batch_size'?"),
        ("lr=1", "did you mean 'training.lr'?"),
        ("steps=1", "did you mean 'training.steps' or 'diffusion.steps'?"),
        ("training.checkpoints_every=1", "did you mean 'training.checkpoint_every'?"),
        ("model.chanels=1", "did you mean 'model.channels'?"),
        ("nmae=x", "did you mean 'name'?"),
    ],
)
def test_unknown_key_names_the_nearest(setting, suggestion):
    assert suggestion in refusal(setting)
    assert repr(setting.partition("=")[0]) in refusal(setting)


def test_unknown_key_like_no_other_suggests_nothing():
    assert refusal("zzzzzz=1") == "unknown config key 'zzzzzz'"


def test_unknown_key_in_a_file_names_the_nearest(tmp_path):
    file = tmp_path / "c.toml"
    file.write_text("[training]\nbatchsize = 3\n")
    with pytest.raises(UsageError, match=r"'training.batchsize' \(did you mean 'training.batch_size'\?\)"):
        configs.load(file)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("training.lr=fast", "training.lr must be a finite number, got 'fast'"),
        ("training.lr=true", "training.lr must be a finite number, got True"),
        ("training.lr=inf", "finite"),
        ("training.grad_clip=nan", "finite"),
        (f"training.lr=1{'0' * 400}", "finite"),
        ("training.steps=1.5", "training.steps must be an integer, got 1.5"),
        ("training.steps=true", "must be an integer"),
        ("data.dataset=3", "data.dataset must be a string, got 3"),
        ("data.dataset=folder:\udcff", "valid Unicode"),
        ("data.channels=true", "one of 1, 3"),
        ("data.channels=1.0", "one of 1, 3"),
        ("model.multipliers=2", "a list of integers"),
        ("model.multipliers=[1, 2.0]", "a list of integers"),
        ("model.multipliers=[true]", "a list of integers"),
        ("diffusion.schedule=linera", "one of linear, cosine, sigmoid, got 'linera'"),
        ("name.x=1", "unknown config key"),
        ("training=1", "unknown config key 'training'"),
        ("training.lr", "KEY=VALUE"),
        ("", "KEY=VALUE"),
        ("model.multipliers=" + "[" * 3000, "a list of integers"),
    ],
)
def test_wrong_type_gets_one_line(setting, words):
    assert words in refusal(setting)


@pytest.mark.parametrize(
    "setting",
    [
        "data.size=0", "data.size=1025", "data.size=9", "data.channels=2", "data.without=[-1]",
        "model.multipliers=[]", "model.multipliers=[0]", "model.channels=0", "model.channels=9", "model.channels=-8",
        "model.groups=5", "model.groups=0", "model.blocks=0", "model.heads=0", "model.dropout=1", "model.dropout=-0.1",
        "model.label_dropout=1", "model.classes=-1", "model.attention=[3]", "model.patch=0",
        "diffusion.steps=0", "diffusion.steps=100001", "diffusion.beta_start=0", "diffusion.beta_end=1",
        "diffusion.beta_start=0.03", "diffusion.prediction=epsilon", "diffusion.weighting=snr",
        "diffusion.times=normal", "diffusion.min_snr_gamma=0", "diffusion.sampler=ddpm", "diffusion.sampler_steps=0",
        "diffusion.sampler_steps=1001", "diffusion.spacing=uniform", "diffusion.eta=1.1",
        "diffusion.eta=-1", "diffusion.guidance=-1", "diffusion.guidance=2",
        "training.steps=-1", "training.steps=2147483648", "training.epochs=0",
        "training.batch_size=0", "training.optimizer=adm", "training.lr=0", "training.lr=-1",
        "training.lr_schedule=cos", "training.warmup=-1", "training.weight_decay=-1", "training.weight_decay=0.1",
        "training.grad_clip=-1", "training.ema=1", "training.ema=-0.1", "training.dtype=float64",
        "training.scan_steps=-1", "training.seed=-1", "training.seed=4294967296", "training.log_every=0",
        "training.checkpoint_every=-1", "training.checkpoint_epochs=0", "training.keep=0",
        "training.test_images=-1", "training.sample_every=-1", "training.sample_count=0",
        "name=''", "name=..", "name=a/b", "name='a\\b'", "name='/etc'", f"name={'x' * 101}",
    ],
)  # fmt: skip
def test_value_out_of_range_gets_one_line_that_names_key_and_value(setting):
    key, _, value = setting.partition("=")
    message = refusal(setting)
    assert key in message and " must be " in message
    assert value.strip("'[]") in message.replace("\\\\", "\\")


def test_heads_must_divide_the_width_only_where_there_is_attention():
    assert "model.heads" in refusal("model.heads=3", "model.attention=[8]")
    configs.override(DDPM(), ["model.heads=3"])


def test_eta_belongs_to_ddim_alone():
    message = refusal("diffusion.eta=0.5", "diffusion.sampler=ancestral")
    assert message == "diffusion.eta must be 0 for ancestral, got 0.5"
    configs.override(DDPM(), ["diffusion.eta=0.5"])


def test_settings_that_need_each_other_may_come_in_any_order():
    settings = ["training.weight_decay=0.1", "training.optimizer=adamw", "diffusion.guidance=2", "model.classes=10"]
    for order in (settings, settings[::-1]):
        assert configs.override(DDPM(), order).training.weight_decay == 0.1


SECTIONS = {getattr(config, key).__class__ for config in DEFAULTS for key in ("data", "model", "training")}
SECTIONS |= {DiffusionConfig, configs.FlowConfig, configs.VAEObjective, configs.GANObjective, *FAMILIES.values()}


@pytest.mark.parametrize("section", sorted(SECTIONS, key=lambda kind: kind.__name__))
def test_configs_are_frozen_and_keyword_only(section):
    with pytest.raises(TypeError):
        section("digits")
    with pytest.raises(dataclasses.FrozenInstanceError):
        section().__setattr__(dataclasses.fields(section)[0].name, None)


@pytest.mark.parametrize(
    "content", [b"training = ", b"\xff\xfe", b"a = " + b"[" * 5000, None, b"training = 3", b"name = {}"]
)
def test_unreadable_file_gets_one_line_that_names_it_or_its_key(tmp_path, content):
    file = tmp_path / "c.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError) as refused:
        configs.load(file)
    message = str(refused.value)
    assert "\n" not in message and (str(file) in message or "must be a" in message)


def test_folder_in_place_of_a_config_gets_one_line(tmp_path):
    with pytest.raises(UsageError, match=str(tmp_path)):
        configs.load(tmp_path)


@pytest.mark.parametrize("config", DEFAULTS, ids=lambda config: config.family)
def test_all_keys_are_the_leaves_of_the_config(config):
    flat = {
        f"{section}.{key}" if isinstance(value, dict) else section
        for section, value in configs.to_dict(config).items()
        for key in (value if isinstance(value, dict) else [section])
    }
    assert set(configs.all_keys(config.family)) == flat
    assert {"training.lr", "name", "family", "data.size"} <= flat


def test_from_dict_inverts_to_dict():
    assert configs.from_dict(configs.to_dict(ODD)) == ODD
    assert configs.differences(ODD, configs.from_dict(configs.to_dict(ODD))) == {}
