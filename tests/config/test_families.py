"""The families' configs: what each has of its own, and what is said of keys that it has not."""

import dataclasses

import pytest

from jaxgen import config as configs
from jaxgen.config import DDPM, FAMILIES, GAN, VAE, Classifier, Config, DataConfig, DiffusionConfig, Flow
from jaxgen.config.presets import PRESETS
from jaxgen.errors import UsageError
from jaxgen.sampling import process
from jaxgen.sampling.process import Diffusion

DEFAULTS = [family() for family in FAMILIES.values()]


def refusal(*settings: str, of: Config) -> str:
    with pytest.raises(UsageError) as refused:
        configs.override(of, settings)
    message = str(refused.value)
    assert "\n" not in message
    return message


def test_families_go_by_their_own_name():
    assert {name: kind().family for name, kind in FAMILIES.items()} == {name: name for name in FAMILIES}
    assert set(FAMILIES) == {"ddpm", "flow", "vae", "gan", "classifier"}


def test_config_without_a_family_is_no_config():
    with pytest.raises(TypeError):
        configs.Config()


@pytest.mark.parametrize(
    ("config", "setting", "words"),
    [
        (VAE(), "diffusion.steps=9", "(did you mean 'training.steps'?); it is of family 'ddpm', and this is 'vae'"),
        (VAE(), "model.channels=9", "(did you mean 'data.channels'?); it is of family 'ddpm' or 'flow'"),
        (DDPM(), "vae.beta=2", "it is of family 'vae', and this is 'ddpm'"),
        (DDPM(), "flow.guidance=2", "(did you mean 'diffusion.guidance'?); it is of family 'flow'"),
        (Flow(), "diffusion.eta=0", "it is of family 'ddpm', and this is 'flow'"),
        (GAN(), "model.latnet=9", "(did you mean 'model.latent'?)"),
        (Classifier(), "gan.critic_steps=2", "it is of family 'gan', and this is 'classifier'"),
    ],
)
def test_key_of_another_family_names_the_nearest_and_its_family(config, setting, words):
    message = refusal(setting, of=config)
    assert f"unknown config key {setting.partition('=')[0]!r}" in message and words in message
    assert ("of family" in words) == ("of family" in message)


def test_family_cannot_be_set():
    assert refusal("family=vae", of=DDPM()) == "family is 'ddpm' and cannot be set to 'vae'; choose another model"
    assert configs.override(VAE(), ["family=vae"]) == VAE()


@pytest.mark.parametrize("config", DEFAULTS, ids=lambda config: config.family)
def test_file_says_its_family(config, tmp_path):
    file = tmp_path / "c.toml"
    file.write_text(f'family = "{config.family}"\n[training]\nlr = 0.5\n')
    assert configs.load(file) == configs.override(config, ["training.lr=0.5"])
    assert configs.load(file, config) == configs.load(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('family = "vea"', r"unknown family 'vea' \(did you mean 'vae'\?\); choose from"),
        ("family = 3", "unknown family '3'; choose from"),
        ('family = ["vae"]', "unknown family"),
        ("[vae]\nbeta = 2", "unknown config key 'vae'; it is of family 'vae', and this is 'ddpm'"),
        ('family = "vae"\n[diffusion]\nsteps = 9', "unknown config key 'diffusion'; it is of family 'ddpm'"),
        ('family = "vae"\n[model]\nchannels = 9', "unknown config key 'model.channels'"),
    ],
)
def test_file_of_no_family_gets_one_line(tmp_path, content, message):
    file = tmp_path / "c.toml"
    file.write_text(content)
    with pytest.raises(UsageError, match=message) as refused:
        configs.load(file)
    assert "\n" not in str(refused.value)


def test_file_of_another_family_than_its_base_is_refused_by_both_names(tmp_path):
    file = tmp_path / "c.toml"
    file.write_text('family = "vae"\n')
    with pytest.raises(UsageError, match="family is 'vae', but ddpm-digits is of family 'ddpm'"):
        configs.load(file, PRESETS["ddpm-digits"])


def test_configs_of_two_families_differ_in_what_only_one_of_them_has():
    changes = configs.differences(DDPM(), VAE())
    assert changes["family"] == ("ddpm", "vae")
    assert changes["model.blocks"] == (2, None) and changes["vae.beta"] == (None, 1.0)
    assert "model.classes" not in changes and "training.lr" not in changes


@pytest.mark.parametrize(
    ("config", "setting"),
    [
        *((VAE(), s) for s in ("model.latent=0", "model.latent=4097", "model.hidden=[0]", "model.convolutions=[-1]")),
        *((VAE(), s) for s in ("model.activation=gelu", "model.classes=-1", "vae.sigma=0", "vae.beta=-1")),
        *((VAE(), s) for s in ("vae.free_bits=-1", "vae.samples=0", "vae.samples=10001", "vae.likelihood=normal")),
        (VAE(), "vae.binarization=static"),
        *((PRESETS["cvae-digits"], f"model.encoder_label={value}") for value in ("yes", "1")),
        *((Flow(), s) for s in ("flow.time_scale=0", "flow.time_scale=1e7", "flow.times=normal", "flow.sampler=ddim")),
        *(
            (Flow(), s)
            for s in ("flow.sampler_steps=0", "flow.sampler_steps=100001", "flow.guidance=101", "flow.spacing=karras")
        ),
        *((Flow(), s) for s in ("flow.guidance=2", "model.attention=[3]")),  # 2: without classes
        *((Classifier(), s) for s in ("model.widths=[]", "model.features=0", "model.dropout=1", "model.classes=1")),
    ],
    ids=str,
)
def test_value_out_of_a_familys_range_gets_one_line_that_names_key_and_value(config, setting):
    key, _, value = setting.partition("=")
    message = refusal(setting, of=config)
    assert key in message and " must be " in message
    got = message.rpartition("got ")[2]
    assert float(got) == float(value) if value[-1].isdigit() else value.strip("[]") in got


@pytest.mark.parametrize(
    ("config", "key"), [(VAE(), "model.convolutions"), (Classifier(), "model.widths"), (GAN(), "model.widths")]
)
def test_size_must_be_one_that_the_convolutions_can_halve(config, key):
    doublings = ["model.doublings=3"] if config.family == "gan" else []
    message = refusal(f"{key}=[4, 4, 4]", *doublings, "data.size=28", of=config)
    assert message.startswith("data.size must be a multiple of 8 for model.") and message.endswith("got 28")
    configs.override(config, [f"{key}=[4, 4, 4]", *doublings, "data.size=32"])


def test_encoder_takes_no_class_of_a_model_without_classes():
    want = "model.encoder_label must be false without classes (model.classes = 0), got True"
    assert refusal("model.encoder_label=true", of=VAE()) == want
    assert refusal("model.classes=0", of=PRESETS["cvae-digits"]) == want
    assert refusal("model.encoder_label=1", of=PRESETS["cvae-digits"]).endswith("must be true or false, got 1")
    assert not configs.override(PRESETS["cvae-digits"], ["model.encoder_label=false"]).encoder_label
    assert not configs.from_dict({"family": "vae", "model": {"classes": 3}}).encoder_label  # as runs of before are read


def test_patches_and_levels_must_divide_the_size():
    settings = ["model.patch=4", "model.multipliers=[1, 2]", "data.size=28"]
    assert refusal(*settings, of=DDPM()) == "data.size must be a multiple of 8 for 2 levels on patches of 4, got 28"
    assert "among the levels' sizes [8, 4]" in refusal(
        "model.patch=4", "data.size=32", "model.attention=[16]", of=DDPM()
    )
    configs.override(DDPM(), ["model.patch=4", "data.size=32", "model.attention=[4]"])


@pytest.mark.parametrize("setting", ["vae.beta=2", "vae.free_bits=0.1"])
def test_importance_weighted_bound_has_no_weight_of_its_kl(setting):
    message = refusal("vae.samples=5", setting, of=VAE())
    assert message == "vae.samples must be 1 where beta is not 1 or free_bits not 0, got 5"


def test_others_may_know_of_a_config_what_they_need_without_its_family():
    def known(config):
        return (
            config.noise_shape, config.is_generator, config.null_class, config.convolutional, type(config.process),
            config.likelihood,
        )  # fmt: skip

    data = DataConfig(size=16, channels=3)
    configs_of = {kind: dataclasses.replace(FAMILIES[kind](), data=data) for kind in FAMILIES}
    assert {kind: known(config) for kind, config in configs_of.items()} == {
        "ddpm": ((16, 16, 3), True, True, True, Diffusion, None),
        "flow": ((16, 16, 3), True, True, True, process.Flow, None),
        "vae": ((20,), True, False, False, type(None), ("bernoulli", 0.1)),
        "gan": ((100,), True, False, True, type(None), None),
        "classifier": ((16, 16, 3), False, False, True, type(None), None),
    }
    assert configs.override(VAE(), ["model.convolutions=[8]"]).convolutional
    assert [config.class_count for config in DEFAULTS] == [0, 0, 0, 0, 10]


def test_section_of_a_process_is_all_that_its_plans_are_made_from():
    settings = {"schedule": "cosine", "beta_start": 0.01, "beta_end": 0.03, "prediction": "v"}
    config = DDPM(diffusion=DiffusionConfig(steps=200, **settings, sampler_steps=20, eta=0.5))
    assert config.process == Diffusion(steps=200, **settings, clip=1.0)
    assert (config.plan, config.guidance) == (("ddim", 20, 0.5), 1.0)
    ancestral = DDPM(diffusion=DiffusionConfig(steps=200, sampler="ancestral", sampler_steps=20))
    assert ancestral.plan == ("ancestral", 200, 0.0)  # all T steps
    flow = Flow(flow=configs.FlowConfig(time_scale=7.0, sampler_steps=9))
    assert (flow.process, flow.plan) == (process.Flow(time_scale=7.0), ("euler", 9, 0.0))
    assert (VAE().process, VAE().plan, VAE().guidance) == (None, None, 1.0)
