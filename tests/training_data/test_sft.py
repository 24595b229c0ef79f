from mmdpo.records import Completion, PreferencePair, Prompt, SftExample, Turn
from mmdpo.training_data.sft import chosen_answers, teacher_answers

HISTORY = (Turn("Is it there?", "Yes."),)


def test_a_teachers_answer_belongs_to_its_prompt():
    prompts = [Prompt("p", "What colour?", ("p.png",), HISTORY), Prompt("q", "Why?")]
    answers = [Completion("q", 0, "Because."), Completion("p", 0, "It is red.")]
    assert list(teacher_answers(prompts, answers)) == [
        SftExample("q", "Why?", "Because."),
        SftExample("p", "What colour?", "It is red.", ("p.png",), HISTORY),
    ]


def test_of_own_pairs_the_chosen_answers_are_learnt():
    pair = PreferencePair("p", "What colour?", "It is red.", "Blue.", ("p.png",), HISTORY)
    assert list(chosen_answers([pair])) == [SftExample("p", "What colour?", "It is red.", ("p.png",), HISTORY)]
