"""Completions of the model itself and of a server: the same after any interruption."""

from __future__ import annotations

import base64
import io
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from mmdpo.config.choices import Stage
from mmdpo.entry.compose import compose_config
from mmdpo.errors import Stopped, UserError
from mmdpo.files import read_json
from mmdpo.models import served
from mmdpo.pipeline import sampling
from mmdpo.pipeline.data_stages import get_or_make
from mmdpo.pipeline.point_stages import run_data_stage
from mmdpo.pipeline.sampling import sample
from mmdpo.records import Completion, ImagePosition, Prompt, SftExample, Turn, read_records
from mmdpo.testing.fake_openai import fake_openai

SMALL = ["data.prompts=20", "data.sampling.batch_size=4", "data.sampling.max_new_tokens=12"]


REASONS = ("stop", "length")


class Counting:
    """A generator that records its prompts, and fails at a chosen call."""

    def __init__(self, fails_at: int = -1) -> None:
        self.asked: list[list[str]] = []
        self._fails_at = fails_at

    def answers(self, prompts: Sequence[Prompt]) -> list[list[Completion]]:
        if len(self.asked) == self._fails_at:
            raise RuntimeError("killed")
        self.asked.append([prompt.id for prompt in prompts])
        return [
            [Completion(prompt.id, place, f"{prompt.id} {place}", REASONS[place]) for place in range(2)]
            for prompt in prompts
        ]


def prompts(count: int) -> list[Prompt]:
    """Prompts, of which every third has no image."""
    return [Prompt(f"p{n}", "What?", None if n % 3 == 0 else "a.png") for n in range(count)]


def run(monkeypatch: pytest.MonkeyPatch, file: Path, generator: Any, count: int = 30) -> list[Completion]:
    monkeypatch.setattr(sampling, "_generator", lambda config, images: generator)
    return list(sample(compose_config(SMALL), lambda: prompts(count), Path(), file))


def test_the_order_is_the_prompts_and_a_batch_is_all_with_or_all_without_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = Counting()
    found = run(monkeypatch, tmp_path / "half", generator)
    assert [(one.prompt_id, one.index) for one in found] == [(f"p{n}", i) for n in range(30) for i in (0, 1)]
    assert all(one.text == f"{one.prompt_id} {one.index}" for one in found)
    assert [one.finish_reason for one in found] == [*REASONS] * 30
    for batch in generator.asked:
        assert len(batch) <= 4
        assert len({int(name[1:]) % 3 == 0 for name in batch}) == 1
    assert not list(tmp_path.iterdir())  # nothing is left of what was unfinished


@pytest.mark.parametrize("fails_at", [0, 1, 5])
def test_what_was_answered_is_not_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int) -> None:
    first, second = Counting(fails_at), Counting()
    with pytest.raises(RuntimeError, match="killed"):
        run(monkeypatch, tmp_path / "half", first)
    found = run(monkeypatch, tmp_path / "half", second)
    asked = [name for batch in (*first.asked, *second.asked) for name in batch]
    assert sorted(asked) == sorted(prompt.id for prompt in prompts(30))
    assert len(found) == 60


def test_a_torn_transaction_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError):
        run(monkeypatch, tmp_path / "half", Counting(2))
    rows = sqlite3.connect(tmp_path / "half").execute("SELECT count(*) FROM answers").fetchone()[0]
    assert rows == 2 * 8  # two whole batches of four prompts with two answers each


def test_the_unfinished_answers_of_earlier_versions_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with sqlite3.connect(tmp_path / "half") as database:
        database.execute(
            "CREATE TABLE answers (prompt_id TEXT, place INTEGER, text TEXT, PRIMARY KEY (prompt_id, place))"
        )
        database.execute("INSERT INTO answers VALUES ('p0', 0, 'kept')")
    found = run(monkeypatch, tmp_path / "half", Counting(), count=2)
    assert [(one.text, one.finish_reason) for one in found] == [("kept", ""), ("p1 0", "stop"), ("p1 1", "length")]


def test_sharing_the_prefix_does_not_change_a_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = []
    for shared in (True, False):
        monkeypatch.setenv("MMDPO_CACHE", str(tmp_path / str(shared)))
        if not shared:
            monkeypatch.setattr(sampling.OwnModel, "_can_share", lambda self, prompts: False)
        folder = get_or_make(compose_config(SMALL), Stage.sample)
        texts.append(list(read_records(folder / "completions.jsonl", Completion)))
    assert texts[0] == texts[1]
    assert len({one.text for one in texts[0]}) > 20


def test_an_adapter_makes_other_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from peft import get_peft_model

    from mmdpo.models.loading import load_model
    from mmdpo.training.lora import lora

    monkeypatch.setenv("MMDPO_CACHE", str(tmp_path / "cache"))
    config = compose_config(SMALL)
    model = load_model(config.model.path, "float32")
    adapted = get_peft_model(model, lora(model, config.model))
    torch.manual_seed(0)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.05)
    adapted.save_pretrained(tmp_path / "adapter")
    second = compose_config([*SMALL, f"generator.adapter={tmp_path / 'adapter'}"])
    plain, other = get_or_make(config, Stage.sample), get_or_make(second, Stage.sample)
    assert plain != other
    assert (plain / "completions.jsonl").read_bytes() != (other / "completions.jsonl").read_bytes()
    with pytest.raises(UserError, match=r"generator\.adapter=.*adapter_config\.json"):
        compose_config([f"generator.adapter={tmp_path}"])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_prefix_is_shared_in_either_type(dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmdpo.models.generate import repeated_inputs
    from mmdpo.models.prefix import reason_against_sharing

    monkeypatch.setenv("MMDPO_CACHE", str(tmp_path))
    config = compose_config([*SMALL, f"model.dtype={dtype}"])
    folder = get_or_make(config, Stage.prompts)
    own = sampling._generator(config, folder)
    prompts = list(read_records(folder / "prompts.jsonl", Prompt))[:4]
    asked = [prompt for prompt in prompts if bool(prompt.images) == bool(prompts[0].images)]
    inputs, twice = (repeated_inputs(own._model, own._processor, asked, folder, count) for count in (1, 2))
    assert reason_against_sharing(own._model, inputs, twice) is None


def test_the_model_answers_on_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr("mmdpo.models.device.device", lambda: torch.device("meta"))  # stands for a GPU
    assert sampling._generator(compose_config([]), tmp_path)._model.device.type == "meta"


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "BACKOFF_SECONDS", 0.01)
    monkeypatch.setattr(served, "MAX_ATTEMPTS", 3)


def test_a_server_answers_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quickly: None) -> None:
    texts = []
    for concurrency, faults in ((1, ""), (6, "throttled:2,busy:2,dropped:1")):
        monkeypatch.setenv("MMDPO_CACHE", str(tmp_path / str(concurrency)))
        with fake_openai(faults) as server:
            line = [*SMALL, "generator=openai", "generator.model=llava", f"generator.base_url={server.url}"]
            config = compose_config([*line, f"generator.concurrency={concurrency}"])
            folder = get_or_make(config, Stage.sample)
            assert server.complaints == []
        texts.append(list(read_records(folder / "completions.jsonl", Completion)))
    assert texts[0] == texts[1]
    assert len(texts[0]) == 80
    assert len({one.text for one in texts[0]}) > 20


def test_a_server_that_the_job_starts_answers_and_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child = tmp_path / "child"
    command = f"{sys.executable} -m mmdpo.testing.fake_openai --port {{port}} --served-model-name {{model}}"
    monkeypatch.setenv("MMDPO_CACHE", str(tmp_path / "cache"))
    line = [*SMALL, "data.prompts=3", "generator=server", f"out={tmp_path}"]
    config = compose_config([*line, f"generator.command={command} --child {child}"])
    folder = get_or_make(config, Stage.sample)
    assert len(list(read_records(folder / "completions.jsonl", Completion))) == 12
    assert not psutil.pid_exists(int(child.read_text()))
    assert (tmp_path / "nano" / "logs" / "generator.log").exists()
    assert get_or_make(compose_config([*line, f"generator.command={command}"]), Stage.sample) == folder
    assert sampling.generator_identity(config) != sampling.generator_identity(compose_config(SMALL[1:]))


def _of(config: Any) -> list[Prompt]:
    return list(read_records(get_or_make(config, Stage.prompts) / "prompts.jsonl", Prompt))


def test_a_server_that_does_not_answer_stops_and_keeps_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quickly: None
) -> None:
    monkeypatch.setenv("MMDPO_CACHE", str(tmp_path / "cache"))
    with fake_openai("good:30,busy:1000") as server:
        line = [*SMALL, "generator=openai", "generator.model=llava", f"generator.base_url={server.url}"]
        config = compose_config([*line, "generator.concurrency=2"])
        with pytest.raises(Stopped, match=r"does not answer .*kept"):
            list(sample(config, lambda: _of(config), get_or_make(config, Stage.prompts), tmp_path / "half"))
    kept = sqlite3.connect(tmp_path / "half").execute("SELECT count(*) FROM answers").fetchone()[0]
    assert kept == 16  # whole batches


@pytest.mark.long
def test_a_declined_completion_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quickly: None, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MMDPO_CACHE", str(tmp_path / "cache"))
    with fake_openai("good:3,content_filter:1") as server:
        line = [*SMALL, "generator=openai", "generator.model=llava", f"generator.base_url={server.url}"]
        config = compose_config([*line, "generator.concurrency=1"])
        found = list(sample(config, lambda: _of(config), get_or_make(config, Stage.prompts), tmp_path / "half"))
    assert len(found) == 79
    assert "declined 1 completions" in capsys.readouterr().out


@pytest.mark.parametrize("damage", ["no database", "torn"])
def test_a_damaged_file_of_completions_is_sampled_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    file = tmp_path / "half"
    with pytest.raises(RuntimeError, match="killed"):
        run(monkeypatch, file, Counting(fails_at=5), count=300)
    content = file.read_bytes()
    assert len(content) > 4096
    file.write_bytes(
        b"no database" * 1000 if damage == "no database" else content[:4096] + b"x" * (len(content) - 4096)
    )
    for suffix in ("-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)
    assert len(run(monkeypatch, file, Counting(), count=300)) == 600
    assert "is damaged" in capsys.readouterr().out


@pytest.mark.long
def test_a_completion_that_the_servers_limit_cut_is_counted_and_not_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quickly: None, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MMDPO_CACHE", str(tmp_path / "cache"))
    with fake_openai("good:75,length:5") as server:
        line = [*SMALL, "generator=openai", "generator.model=llava", f"generator.base_url={server.url}"]
        config = compose_config([*line, "generator.concurrency=1"])
        completions = get_or_make(config, Stage.sample)
        cut = {(one.prompt_id, one.index) for one in read_records(completions / "completions.jsonl", Completion)
               if one.finish_reason == "length"}  # fmt: skip
        assert len(cut) == 5
        assert "5 of 80 completions were cut at data.sampling.max_new_tokens=12" in capsys.readouterr().out
        run_data_stage(config, Stage.annotate)
        assert "5 completions were cut" in capsys.readouterr().out
        for train_on in ("dpo", "steerlm"):
            built = get_or_make(compose_config([*line, f"method={train_on}"]), Stage.build)
            assert read_json(built / "card.json")["facts"]["counts"]["cut_completions"] == 5
    examples = {one.id for one in read_records(built / "examples.jsonl", SftExample)}
    assert len(examples) == 75
    assert not {f"{prompt}-{index}" for prompt, index in cut} & examples
    assert "5 completions that were cut" in capsys.readouterr().out


def test_a_server_gets_the_system_turn_and_images_at_their_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, side in (("one", 11), ("two", 22)):
        Image.new("RGB", (side, side)).save(tmp_path / f"{name}.png")
    places = (ImagePosition(2, 5), ImagePosition(0, 0))
    history = (Turn("What?", "A star."),)
    asked = [
        Prompt("p", "left right", ("two.png", "one.png"), history, system="Be brief.", image_positions=places),
        Prompt("q", "Why?"),
    ]
    sent: list[Any] = []
    with fake_openai() as server:
        reply = type(server).reply
        monkeypatch.setattr(
            type(server), "reply", lambda self, call: (sent.append(call.body["messages"]), reply(self, call))[1]
        )
        line = ["generator=openai", "generator.model=llava", f"generator.base_url={server.url}"]
        config = compose_config([*line, "generator.concurrency=1", "data.sampling.completions=2"])
        served.ServedModel(config.generator, config.data.sampling, 0, tmp_path).answers(asked)

    def shown(part: dict[str, Any]) -> Any:
        if part["type"] == "text":
            return part["text"]
        content = base64.b64decode(part["image_url"]["url"].partition(",")[2])
        return Image.open(io.BytesIO(content)).width

    contents = [
        [(turn["role"], turn["content"] if isinstance(turn["content"], str) else [*map(shown, turn["content"])])
         for turn in messages]
        for messages in sent
    ]  # fmt: skip
    first = [
        ("system", "Be brief."),
        ("user", [11, "What?"]),
        ("assistant", "A star."),
        ("user", ["left ", 22, "right"]),
    ]
    assert contents == [first] * 2 + [[("user", "Why?")]] * 2
