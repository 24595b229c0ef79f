from mmdpo.config import TEACHERS as NAMES
from mmdpo.judge.oracle import rate
from mmdpo.judge.teacher import TEACHERS, answer
from mmdpo.sources.nano import prompts


def test_every_teacher_that_the_config_names_is_there():
    assert set(TEACHERS) == set(NAMES)


def test_the_oracle_finds_nothing_wrong_with_its_own_answers(tmp_path):
    asked = prompts("preference", 400, 0, tmp_path)
    answers = answer(asked, "oracle")
    assert [completion.prompt_id for completion in answers] == [prompt.id for prompt in asked]
    merits = [rate(prompt, completion.text).merit for prompt, completion in zip(asked, answers, strict=True)]
    assert set(merits) == {12}
