"""Run folders and files of an earlier jaxgen, whose configs have keys of other names."""

import pytest

from jaxgen import config as configs
from jaxgen.config import DDPM
from jaxgen.config.renames import RENAMES, Change, Rename, renamed
from jaxgen.errors import UsageError
from jaxgen.runs.folder import RunFolder

# What a later jaxgen may have done to the keys of an earlier one; those on the right are today's.
TABLE = {
    "training.learning_rate": Rename("training.lr", "0.2"),
    "training.fused": Rename(None, "0.2"),
    "noise": Rename("diffusion", "0.2"),
    "seed": Rename("training.seed", "0.3"),
    "diffusion.T": Rename("diffusion.timesteps", "0.3"),
    "diffusion.timesteps": Rename("diffusion.steps", "0.4"),
}


@pytest.mark.parametrize(
    ("values", "want", "said"),
    [
        ({}, {}, []),
        ({"training": {"lr": 1}}, {"training": {"lr": 1}}, []),
        ({"training": {"learning_rate": 1, "ema": 2}}, {"training": {"lr": 1, "ema": 2}},
         ["read training.learning_rate as training.lr"]),
        ({"training": {"fused": True}}, {"training": {}}, ["left out training.fused, which jaxgen 0.2 dropped"]),
        ({"noise": {"eta": 1}}, {"diffusion": {"eta": 1}}, ["read noise as diffusion"]),
        ({"seed": 3}, {"training": {"seed": 3}}, ["read seed as training.seed"]),
        ({"diffusion": {"T": 9}}, {"diffusion": {"steps": 9}},
         ["read diffusion.T as diffusion.timesteps", "read diffusion.timesteps as diffusion.steps"]),
        ({"noise": {"T": 9}}, {"diffusion": {"steps": 9}},
         ["read noise as diffusion", "read diffusion.T as diffusion.timesteps",
          "read diffusion.timesteps as diffusion.steps"]),
        ({"training": {"learning_rate": 1, "lr": 2}}, {"training": {"lr": 2}},
         ["read training.learning_rate as training.lr"]),  # today's name counts
        ({"training": 3, "seed": 4}, {"training": 3, "seed": 4}, []),  # nowhere to put it: for others to refuse
        ({"training": [1], "noise": 3}, {"training": [1], "diffusion": 3}, ["read noise as diffusion"]),
    ],
)  # fmt: skip
def test_keys_are_read_by_todays_names(values, want, said):
    before = repr(values)
    found, changes = renamed(values, TABLE)
    assert (found, [str(change) for change in changes]) == (want, said)
    assert repr(values) == before


def test_change_covers_its_key_and_what_is_in_its_section():
    change = Change("noise", "diffusion", "0.2")
    assert change.covers("diffusion") and change.covers("diffusion.steps")
    assert not change.covers("diffusions.steps") and not change.covers("noise")


def test_table_leads_to_keys_that_there_are():
    """Of each family that has the section; what was renamed twice leads to its second line."""
    known = {key for family in configs.FAMILIES for key in configs.all_keys(family)}
    sections = {key.partition(".")[0] for key in known}
    for old, (new, version) in RENAMES.items():
        assert old not in known and version
        assert new is None or new in known | sections | RENAMES.keys()


# --- run folders


@pytest.fixture
def table(monkeypatch):
    for old, entry in TABLE.items():
        monkeypatch.setitem(RENAMES, old, entry)


@pytest.fixture
def run(tmp_path) -> RunFolder:
    """As an earlier jaxgen wrote it."""
    path = tmp_path / "run"
    path.mkdir()
    (path / "config.toml").write_text(
        'family = "ddpm"\nseed = 5\n'
        "[training]\nlearning_rate = 0.25\nfused = true\n"
        "[noise]\nT = 70\nsampler_steps = 7\n"
    )
    return RunFolder(path)


def test_run_folder_of_an_earlier_jaxgen_is_read_and_says_what_as_what(run, table, capsys):
    want = configs.override(
        DDPM(), ["training.seed=5", "training.lr=0.25", "diffusion.steps=70", "diffusion.sampler_steps=7"]
    )
    assert run.config() == want
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        f"{run.config_file}: read training.learning_rate as training.lr",
        f"{run.config_file}: left out training.fused, which jaxgen 0.2 dropped",
        f"{run.config_file}: read noise as diffusion",
        f"{run.config_file}: read seed as training.seed",
        f"{run.config_file}: read diffusion.T as diffusion.timesteps",
        f"{run.config_file}: read diffusion.timesteps as diffusion.steps",
    ]
    run.check(want)  # the same run, told once
    assert capsys.readouterr().err == ""


def test_key_that_is_in_no_table_is_refused_as_ever(run, capsys):
    with pytest.raises(UsageError, match=r"unknown config key 'seed' \(did you mean 'training.seed'\?\)"):
        run.config()
    assert capsys.readouterr().err == ""


def test_key_of_a_newer_jaxgen_is_refused_by_its_name(run, table):
    run.config_file.write_text("[training]\nlearning_rate = 0.25\nsharpness = 3\n")
    with pytest.raises(UsageError, match=r"unknown config key 'training\.sharpness'"):
        run.config(say=lambda line: None)


def test_config_that_a_person_wrote_has_todays_keys(run, table):
    with pytest.raises(UsageError, match="unknown config key"):
        configs.load(run.config_file)
