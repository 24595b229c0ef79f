"""Answers that survive a kill, are shared by several processes, and are asked once."""

import dataclasses
from collections import Counter
from pathlib import Path

import pytest

from mmdpo.activity import recorded_by
from mmdpo.config.schema import BenchConfig
from mmdpo.config.shard import Shard
from mmdpo.evaluation import answers
from mmdpo.evaluation.answers import answer_share, counts_of, differences, read_answers, take_answers, write_answers
from mmdpo.evaluation.samples import SampleSet
from mmdpo.evaluation.shares import share_of
from mmdpo.evaluation.task import TURNS, Cluster, Response, Upstream, load_task
from mmdpo.files import read_json
from mmdpo.models.requests import GenerationRequest
from mmdpo.records import Completion, Prompt, Turn
from tests.support.engines import FakeEngine

MADE_OF = {"model": "m", "adapter": "a"}
BENCH = BenchConfig(tasks=["text"], max_new_tokens=9)


class Killed(FakeEngine):
    """Engine that is killed after some answers; it answers with the number of turns and the question."""

    def __init__(self, after: int = 1000):
        super().__init__()
        self.left, self.closed = after, 0
        self.reply = lambda prompt: f"{len(prompt.history)} {prompt.question}"

    def answer(self, requests, image_root):
        for found in super().answer(requests, image_root):
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            yield found

    def close(self):
        self.closed += 1


def two_turns(inference, prompts):
    first = inference.generate([GenerationRequest(prompt, temperature=0.7) for prompt in prompts])
    again = [
        dataclasses.replace(prompt, question=prompt.facts[TURNS][1], history=(Turn(prompt.question, answer.text),))
        for prompt, answer in zip(prompts, first, strict=True)
    ]
    second = inference.generate([GenerationRequest(prompt, temperature=0.7) for prompt in again])
    return [
        Response(prompt.id, prompt.question, answer.text, history=prompt.history, finish_reason=answer.finish_reason)
        for prompt, answer in zip(again, second, strict=True)
    ]


def some_set(root: Path, count=6, **changes) -> SampleSet:
    task = dataclasses.replace(load_task("text"), **{"cluster": Cluster.item, **changes})
    prompts = [Prompt(str(n), f"Question {n}?", facts={TURNS: [f"Question {n}?", f"Why {n}?"]}) for n in range(count)]
    return SampleSet("text", task, prompts, prompts, root)


def files(folder: Path) -> dict[str, bytes]:
    return {str(one.relative_to(folder)): one.read_bytes() for one in folder.rglob("*") if one.is_file()}


@pytest.mark.parametrize("solver", [load_task("text").solver, two_turns])
@pytest.mark.parametrize("after", [0, 2, 8])
def test_a_kill_loses_no_answer_and_changes_none(tmp_path, solver, after):
    one = some_set(tmp_path, solver=solver)
    asked = 6 * (2 if solver is two_turns else 1)
    after = min(after, asked - 1)
    whole, killed, rest = Killed(), Killed(after), Killed()
    write_answers([one], lambda: whole, MADE_OF, BENCH, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        write_answers([one], lambda: killed, MADE_OF, BENCH, tmp_path / "killed")
    assert not list((tmp_path / "killed" / "answers").glob("*.json*"))
    write_answers([one], lambda: rest, MADE_OF, BENCH, tmp_path / "killed")
    assert len(rest.questions) == asked - after
    assert files(tmp_path / "killed") == files(tmp_path / "whole")
    assert [engine.closed for engine in (whole, killed, rest)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("made_of", "bench", "root"),
    [
        ({**MADE_OF, "adapter": "b"}, BENCH, "one"),
        (MADE_OF, dataclasses.replace(BENCH, max_new_tokens=8), "one"),
        (MADE_OF, dataclasses.replace(BENCH, seed=1), "one"),
        (MADE_OF, BENCH, "two"),
    ],
)
def test_stored_answers_of_another_model_decoding_or_image_are_asked_again(tmp_path, made_of, bench, root):
    def pictured(name):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "image.png").write_bytes(name.encode())
        one = some_set(tmp_path / name, 1, solver=two_turns)
        prompts = [dataclasses.replace(prompt, images=("image.png",)) for prompt in one.prompts]
        return dataclasses.replace(one, prompts=prompts, asked=prompts)

    with pytest.raises(KeyboardInterrupt):
        write_answers([pictured("one")], lambda: Killed(1), MADE_OF, BENCH, tmp_path)
    rest = Killed()
    write_answers([pictured(root)], lambda: rest, made_of, bench, tmp_path)
    assert len(rest.questions) == 2


def test_equal_questions_are_asked_once_unless_they_are_sampled(tmp_path, capsys):
    prompts = [Prompt(str(n), f"Is it {n % 2}?", facts={TURNS: ["", "Why?"]}) for n in range(6)]
    one = dataclasses.replace(some_set(tmp_path), prompts=prompts, asked=prompts)
    engine = Killed()
    write_answers([one], lambda: engine, MADE_OF, BENCH, tmp_path / "greedy")
    assert engine.questions == ["Is it 0?", "Is it 1?"]
    assert "2 different questions of 6" in capsys.readouterr().out
    responses = read_answers(one, MADE_OF, BENCH, tmp_path / "greedy")
    assert [(each.id, each.answer) for each in responses] == [(str(n), f"0 Is it {n % 2}?") for n in range(6)]
    sampled = dataclasses.replace(one, task=dataclasses.replace(one.task, solver=two_turns))
    engine = Killed()
    write_answers([sampled], lambda: engine, MADE_OF, BENCH, tmp_path / "sampled")
    assert len(engine.questions) == 12


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2), (2,)])
def test_shares_in_any_order_and_a_dead_one_make_the_same_files(tmp_path, order):
    one = some_set(tmp_path, 7, solver=two_turns)
    write_answers([one], Killed, MADE_OF, BENCH, tmp_path / "whole")
    asked = Counter()
    for number in order:
        engine = Killed()
        answer_share([one], lambda engine=engine: engine, MADE_OF, BENCH, tmp_path / "shared", Shard(number, 3))
        asked.update(engine.questions)
    assert not list((tmp_path / "shared" / "answers").glob("*.json*"))
    rest = Killed()
    write_answers([one], lambda: rest, MADE_OF, BENCH, tmp_path / "shared")
    asked.update(rest.questions)
    assert set(asked.values()) == {1}
    assert len(asked) == 14
    assert bool(rest.questions) == (len(order) < 3)
    assert files(tmp_path / "shared") == files(tmp_path / "whole")


def test_a_share_of_complete_answers_asks_nothing(tmp_path):
    one = some_set(tmp_path)
    write_answers([one], Killed, MADE_OF, BENCH, tmp_path)
    answer_share([one], lambda: pytest.fail("loaded"), MADE_OF, BENCH, tmp_path, Shard(1, 2))


@pytest.mark.parametrize("count", [1, 3, 40])
def test_shares_are_disjoint_complete_about_equal_and_keep_images_together(tmp_path, count):
    prompts = [Prompt(str(n), f"{n}?", images=(f"{n // 5}.png",)) for n in range(100)]
    one = dataclasses.replace(some_set(tmp_path), prompts=prompts, asked=prompts)
    shares = [share_of(one, Shard(number, count)) for number in range(1, count + 1)]
    assert sorted(int(prompt.id) for share in shares for prompt in share) == list(range(100))
    assert sum(len({prompt.images for prompt in share}) for share in shares) == 20
    assert max(map(len, shares)) - min(map(len, shares)) <= 5
    assert shares == [share_of(one, Shard(number, count)) for number in range(1, count + 1)]


def test_equal_answers_of_another_point_are_copied(tmp_path, capsys):
    one, other = some_set(tmp_path), some_set(tmp_path, 3)
    source, folder = tmp_path / "first" / "point-1", tmp_path / "second" / "point-2"
    write_answers([one], Killed, MADE_OF, BENCH, source)
    take_answers([other], MADE_OF, BENCH, folder, lambda: [source])
    take_answers([one], {**MADE_OF, "adapter": "b"}, BENCH, folder, lambda: [source])
    assert not folder.exists()
    write_answers([one], lambda: pytest.fail("loaded"), MADE_OF, BENCH, folder, lambda: [folder, source])
    assert "first/point-1" in capsys.readouterr().out
    assert files(folder) == files(source)
    assert differences(one, MADE_OF, BENCH, folder) == []


def upstream(written):
    return Upstream(scores=lambda judgments: {}, write_answers=written)


def test_answers_are_written_in_upstreams_format_under_the_points_name(tmp_path):
    def written(folder, items, name):
        folder.mkdir(parents=True)
        (folder / f"{name}.txt").write_text("".join(response.answer for _, response in items))
        return [folder / f"{name}.txt"]

    one = some_set(tmp_path, 2, upstream=upstream(written))
    write_answers([one], Killed, MADE_OF, BENCH, tmp_path / "point-1")
    path = tmp_path / "point-1" / "answers" / "upstream" / "point-1.txt"
    assert path.read_text() == "0 Question 0?0 Question 1?"
    write_answers([one], Killed, MADE_OF, BENCH, tmp_path / "point-2", lambda: [tmp_path / "point-1"])
    assert (tmp_path / "point-2" / "answers" / "upstream" / "point-2.txt").exists()


def test_a_failure_of_upstreams_format_loses_no_answer(tmp_path, capsys):
    def fails(folder, items, name):
        raise ValueError("no category")

    one = some_set(tmp_path, upstream=upstream(fails))
    write_answers([one], Killed, MADE_OF, BENCH, tmp_path)
    assert "no category" in capsys.readouterr().out
    assert differences(one, MADE_OF, BENCH, tmp_path) == []


def test_answers_that_the_limit_cut_are_counted(tmp_path, capsys):
    class Cut(FakeEngine):
        def answer(self, requests, image_root):
            for index, request in enumerate(requests):
                yield (
                    index,
                    Completion(request.prompt.id, 0, " " if index else "Long", "length" if index < 2 else "stop"),
                )

    one = some_set(tmp_path)
    write_answers([one], Cut, MADE_OF, BENCH, tmp_path)
    assert "2 of 6 answers were cut" in capsys.readouterr().out
    counts = {"answers": 6, "cut": 2, "empty": 5}
    assert counts_of(read_answers(one, MADE_OF, BENCH, tmp_path)) == counts
    assert read_json(tmp_path / "answers" / "text.json")["counts"] == counts


def test_progress_counts_what_is_known_and_what_is_saved(tmp_path, monkeypatch):
    from contextlib import contextmanager

    bars, saved = [], []

    @contextmanager
    def progress(description, total):
        bars.append([total, 0])
        yield lambda count: bars[-1].__setitem__(1, bars[-1][1] + count)

    class Recorder:
        def saved(self, kind, amount):
            saved.append((kind, amount))

    monkeypatch.setattr(answers, "progress", progress)
    one = some_set(tmp_path, solver=two_turns)
    with recorded_by(Recorder()):
        with pytest.raises(KeyboardInterrupt):
            write_answers([one], lambda: Killed(4), MADE_OF, BENCH, tmp_path)
        assert saved == [("answers", 4)]
        write_answers([one], Killed, MADE_OF, BENCH, tmp_path)
    assert bars == [[12, 4], [12, 12]]


def test_an_engine_that_leaves_questions_out_is_an_error(tmp_path):
    class Partial(FakeEngine):
        def answer(self, requests, image_root):
            yield from list(super().answer(requests, image_root))[:-1]

    with pytest.raises(RuntimeError, match="1 of 6"):
        write_answers([some_set(tmp_path)], Partial, MADE_OF, BENCH, tmp_path)
