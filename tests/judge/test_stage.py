"""The stages of a judge: without a single usable reply there is nothing to go on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmdpo.errors import Stopped, UserError
from mmdpo.judge import stage, teacher
from tests.judge.scripted import Scripted, items, judge_config


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    made = Scripted(*["I like B."] * 6)
    monkeypatch.setattr(stage, "client_of", lambda judge: made)
    monkeypatch.setattr(teacher, "client_of", lambda judge: made)
    return made


def test_an_annotation_without_ratings_fails(tmp_path: Path, client: Scripted) -> None:
    judge = judge_config()
    judge.journal = str(tmp_path / "j.sqlite")

    def annotated() -> Any:
        return stage.write_annotations(tmp_path, lambda: items(3), 3, tmp_path, judge)

    for _ in range(2):  # the second time the replies are read from the journal
        with pytest.raises(UserError, match=r"none of 3 .*3 no_ratings.*judge\.retry_unscored=true") as raised:
            annotated()
        assert not isinstance(raised.value, Stopped)
    assert len(client.calls) == 6
    judge.retry_unscored = True
    assert annotated()["scored"] == 3


def test_replies_that_were_cut_name_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = Scripted("...", "...")
    monkeypatch.setattr(stage, "client_of", lambda judge: made)
    judge = judge_config()
    judge.journal = str(tmp_path / "j.sqlite")
    assert stage.write_annotations(tmp_path, lambda: items(2), 2, tmp_path, judge)["unscored"] == {"truncated": 1}
    assert "judge.max_output_tokens" in capsys.readouterr().out


def test_a_teacher_without_answers_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Scripted(*[""] * 4)
    monkeypatch.setattr(teacher, "client_of", lambda judge: made)
    judge = judge_config()
    judge.journal = str(tmp_path / "j.sqlite")
    prompts = [prompt for prompt, _ in items(2)]
    with pytest.raises(UserError, match=r"none of 2 .*2 empty.*stage=teacher judge\.retry_unscored=true"):
        stage.write_teacher_answers(tmp_path, lambda: prompts, 2, tmp_path, judge)
