"""Solvers of several turns."""

from mmdpo.evaluation.solvers import conversation
from mmdpo.evaluation.task import TURN_IMAGES, TURNS
from mmdpo.records import Completion, ImagePosition, Prompt, Turn


class Recorder:
    """Inference that keeps its calls and answers with the question in capitals."""

    def __init__(self, cut=()):
        self.calls, self.cut = [], cut

    def generate(self, requests):
        self.calls.append(list(requests))
        return [
            Completion(one.prompt.id, 0, one.prompt.question.upper(), "length" if one.prompt.id in self.cut else "stop")
            for one in requests
        ]


def by_category(prompt):
    return 0.7 if prompt.category == "writing" else 0.0


def prompt_of(name, *turns, category="", images=(), **facts):
    return Prompt(name, turns[0], images, category=category, facts={TURNS: list(turns), **facts})


def test_the_second_turn_follows_the_models_own_first_answer():
    prompts = [prompt_of("81", "a", "b", category="writing"), prompt_of("111", "c", "d", category="math")]
    inference = Recorder(cut=["81"])
    responses = conversation(by_category)(inference, prompts)
    first, second = inference.calls
    assert [one.prompt for one in first] == prompts
    assert [one.prompt.id for one in second] == ["81/turn_2", "111/turn_2"]  # ids seed the answers: unique
    assert [(one.prompt.history, one.prompt.question) for one in second] == [
        ((Turn("a", "A"),), "b"),
        ((Turn("c", "C"),), "d"),
    ]
    assert [[one.temperature for one in call] for call in inference.calls] == [[0.7, 0.0]] * 2
    assert [(one.id, one.question, one.answers, one.finish_reason) for one in responses] == [
        ("81", "a", ("A", "B"), "length"),
        ("111", "c", ("C", "D"), "stop"),
    ]


def test_conversations_of_different_lengths():
    prompts = [prompt_of("1", "a"), prompt_of("2", "b", "c", "d"), Prompt("3", "e")]
    inference = Recorder()
    responses = conversation(by_category)(inference, prompts)
    asked = [[one.prompt.id for one in call] for call in inference.calls]
    assert asked == [["1", "2", "3"], ["2/turn_2"], ["2/turn_3"]]
    assert [one.answers for one in responses] == [("A",), ("B", "C", "D"), ("E",)]


def test_images_stand_before_their_turns():
    inference = Recorder()
    conversation(by_category)(inference, [prompt_of("1", "a", "b", images=("x.png",), **{TURN_IMAGES: ["y.png"]})])
    first, second = (call[0].prompt for call in inference.calls)
    assert (first.images, first.image_positions) == (("x.png",), ())
    assert second.images == ("x.png", "y.png")
    assert second.image_positions == (ImagePosition(0, 0), ImagePosition(2, 0))


def test_solvers_of_other_temperatures_have_other_names():
    names = {conversation(one).__qualname__ for one in (by_category, lambda prompt: 1.0)}
    assert len(names) == 2
