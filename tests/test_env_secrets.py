"""Secrets of the environment in configs and commands."""

from pathlib import Path

import pytest

from mmdpo.entry.compose import compose_config
from mmdpo.entry.overrides import check_command
from mmdpo.env_secrets import redacted
from mmdpo.errors import UserError

SECRET = "0123-4567-89ab"


@pytest.mark.parametrize(
    ("variable", "override"),
    [
        ("WANDB_API_KEY", "tracking.tags=[x,${oc.env:WANDB_API_KEY}]"),
        ("HF_TOKEN", "study=${oc.env:HF_TOKEN}"),
        ("DB_PASSWORD", "judge.base_url='http://me:${oc.env:DB_PASSWORD}@host'"),
        ("MY_SECRET", "+cluster.additional_parameters.comment=${oc.env:MY_SECRET}"),
        ("api_token", "cluster.setup=['export X=${oc.env:api_token}']"),
        ("MINE", "judge.model=${oc.env:MINE}"),
    ],
)
def test_a_config_with_a_secret_is_refused(monkeypatch: pytest.MonkeyPatch, variable: str, override: str) -> None:
    monkeypatch.setenv(variable, SECRET)
    with pytest.raises(UserError) as refused:
        compose_config([override, "judge.api_key=[MINE]"])
    key = override.partition("=")[0].lstrip("+").removesuffix(".comment")
    assert str(refused.value).startswith(key)
    assert f"variable {variable}," in str(refused.value)
    assert SECRET not in str(refused.value)


def test_a_command_with_a_secret_is_refused_before_it_is_composed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", SECRET)
    with pytest.raises(UserError, match=r"^tracking\.tags: .*WANDB_API_KEY"):
        check_command(["-m", "beta=0.1,0.2", f"+tracking.tags=[{SECRET}]"])


def test_a_preset_with_a_secret_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WANDB_API_KEY", SECRET)
    (tmp_path / "tracking").mkdir()
    (tmp_path / "tracking" / "mine.yaml").write_text(f"name: mine\nproject: {SECRET}\n")
    with pytest.raises(UserError, match=r"mine\.yaml: .*WANDB_API_KEY"):
        compose_config(["tracking=mine"], tmp_path)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("HF_TOKEN_PATH", "/data/token"), ("OPENAI_API_KEY", "rehearsal"), ("MY_KEY", "short"), ("HARMLESS", SECRET)],
)
def test_what_is_no_secret_is_not_refused(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    assert compose_config([f"tracking.tags=['{value}']"]).tracking.tags == [value]


def test_secrets_are_replaced_in_what_is_mirrored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", SECRET)
    assert redacted({"a": [f"x {SECRET}", 1]}) == {"a": ["x $MY_TOKEN", 1]}
