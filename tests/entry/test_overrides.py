"""The command line before Hydra sees it, and the keys in a user's own files."""

from pathlib import Path

import pytest
from hydra.errors import CompactHydraException

from mmdpo.config.schema import CONF
from mmdpo.entry.compose import compose_config
from mmdpo.entry.overrides import check_command, check_directory, check_overrides, check_preset
from mmdpo.errors import UserError


@pytest.mark.parametrize("sign", ["", "+", "++", "~"])
def test_an_old_key_is_named_by_its_new_name(sign):
    with pytest.raises(UserError) as caught:
        check_overrides([f"{sign}train.epochs=2"])
    assert str(caught.value) == "train.epochs is now train.num_train_epochs"


def test_every_problem_is_named_once():
    with pytest.raises(UserError) as caught:
        check_overrides(["train.epochs=1", "betta=2", "train.epochs=2"])
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    "overrides",
    [
        ["method=dpo", "beta=0.1,0.2", "+sweep=data_scaling", "~sweep"],
        ["hydra/sweeper=optuna", "hydra.mode=MULTIRUN", "+hydra.sweeper.params.beta=1", "hydra.sweep.dir=x"],
        ["slurm@cluster=x", "+method@other=dpo", "~model.lr.dpo", "+model.lr.mine=1e-3", "method.attributes={a: 1}"],
        ["+cluster.additional_parameters.exclusive=true", "++data.sources.x.path=a=b"],
        ["beta='0.1'", "beta=null", "lr=${beta}", "dry_run=on", "seed=range(0,3)", "bench.tasks=[text],[visual]"],
        ["method=dpo,steerlm", "method.attributes.verbosity=1", "data=paper", "data.sources.lrv.count=5"],
        ["train.too_long=choice(drop,error)", "model.lora={r:8}", "beta=interval(0.1,1)", "model.path=3"],
    ],
)
def test_what_hydra_knows_is_left_to_it(overrides):
    check_overrides(overrides)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("beta=abc", "must be a number or null"),
        ("beta=0.1,abc", "beta=abc: must be a number"),
        ("beta={a:1}", "must be a number"),
        ("seed=1.5", "must be a whole number"),
        ("seed=null", "seed=null: must be a whole number"),
        ("dry_run=maybe", "must be true or false"),
        ("train.too_long=drp", "allowed are cut_answer, drop, error; did you mean drop?"),
        ("bench.tasks=text", "type 'bench.tasks=[A,B]'"),
        ("model.lora=3", "type one of them, as in model.lora.r="),
        ("model.lora={rank:8}", "model.lora.rank is now model.lora.r"),
        ("train={save_steps:x}", "train.save_steps=x: must be a whole number"),
        ("model.lr=3", "type model.lr.NAME="),
        ("model.lr.dop=1", "did you mean dpo? To add it, type +model.lr.dop=1"),
        ("cluster.additional_parameters.nice=1", "type +cluster.additional_parameters.nice=1"),
        ("data.sources.lrv.count=1", "type +data.sources.lrv.count=1"),
    ],
)
def test_a_value_of_another_type_and_a_new_entry_are_named_with_the_override(override, words):
    with pytest.raises(UserError) as caught:
        check_overrides([override])
    assert words in str(caught.value)


def test_commands_that_only_explain_are_not_checked():
    check_command(["--help", "betta=1"])
    check_command(["-sc", "query=bash"])
    with pytest.raises(UserError, match=r"betta"):
        check_command(["--cfg", "job", "betta=1"])


@pytest.mark.parametrize("text", ["search.keep_points=beta=0.1", "search.keep_points=[beta=0.1]", "beta=[0.1"])
def test_an_override_that_cannot_be_parsed_is_named(text):
    with pytest.raises(UserError) as caught:
        check_command(["-m", text])
    assert text in str(caught.value)
    assert "quotes" in str(caught.value)


def test_a_search_gets_its_overrides_with_m_alone():
    words = ["-m", "hydra/sweeper=optuna", "beta=interval(0.1,1)"]
    assert check_command(words) == [*words, "bench.split=dev"]
    short = ["-m", "hydra/sweeper=optuna", "hydra.sweeper.pruner=median", "bench.split=dev"]
    assert check_command(short)[2] == "hydra/sweeper/pruner=median"
    assert check_command(["-m", "beta=0.1,0.2"]) == ["-m", "beta=0.1,0.2"]
    with pytest.raises(UserError, match=r"needs -m"):
        check_command(["hydra/sweeper=optuna", "beta=0.1"])


def test_a_file_with_the_name_of_a_built_in_preset_is_refused(tmp_path):
    for name in ("judge/gemini", "judge/mine", "sweep/methods"):
        path = tmp_path / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text("name: mine\n")
    with pytest.raises(UserError) as caught:
        check_command(["--config-dir", str(tmp_path), "judge=gemini"])
    lines = str(caught.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        str(tmp_path / "judge/gemini.yaml"),
        str(tmp_path / "sweep/methods.yaml"),
    ]
    assert all("rename the file" in line for line in lines)


def test_the_built_in_presets_themselves_are_no_collision():
    check_directory(CONF)
    check_directory(Path("no/such/folder"))  # Hydra's own message names it


@pytest.mark.parametrize(
    ("group", "content", "problem"),
    [
        ("train", {"epochs": 1}, "train.epochs is now train.num_train_epochs"),
        ("model", {"lora": {"rank": 8}}, "model.lora.rank is now model.lora.r"),
        ("model", {"lora": {"colour": 8}}, "model.lora.colour: unknown key"),
        (None, {"study": "s", "train": {"keep": 1}}, "train.keep is now train.save_total_limit"),
    ],
)
def test_keys_of_a_users_file_are_checked(group, content, problem):
    with pytest.raises(UserError, match=f"^mine.yaml: {problem}"):
        check_preset(Path("mine.yaml"), group, content)


def test_hydras_keys_in_a_users_file_are_left_to_it():
    content = {"hydra": {"mode": "MULTIRUN", "sweeper": {"params": {"beta": 1}}}, "defaults": ["_self_"], "beta": 1}
    check_preset(Path("mine.yaml"), None, content)
    check_preset(Path("mine.yaml"), "model", {"lr": {"mine": 1e-3}, "lora": None})
    check_preset(Path("empty.yaml"), "train", {})


@pytest.mark.parametrize("content", [b"name: [mine\n", b"name: caf\xe9\n", b"- name\n", b"beta: 1\n- x\n"])
@pytest.mark.parametrize("group", ["judge", "sweep"])
def test_a_users_file_that_cannot_be_read_is_named(group, content, tmp_path):
    file = tmp_path / group / "mine.yaml"
    file.parent.mkdir()
    file.write_bytes(content)
    with pytest.raises(CompactHydraException, match=rf"{file}") as caught:  # printed without a traceback
        compose_config([f"{group}=mine"], tmp_path)
    assert "cannot be read" in str(caught.value)
    assert compose_config(["judge=longer"], tmp_path).judge.client == "longer"  # the other presets are not affected
