"""Terms of a search: which points they match, and which terms are refused."""

from pathlib import Path

import pytest

from mmdpo.analysis.search_terms import read_term
from mmdpo.analysis.study import Row
from mmdpo.errors import UserError
from mmdpo.evaluation.statistics import Score
from mmdpo.points.identity import Role

CONFIG = {
    "beta": 0.1,
    "model": {"name": "llava_1_5_13b", "lora": {"r": 128}, "train_projector": True},
    "bench": {"tasks": ["text", "visual"], "judge": {"name": "gemini"}},
    "train": {"num_train_epochs": 3.0, "name": "paper"},
}
POINT = Row(
    "dpo-beta0.1-seed0-00abcd",
    folder=Path("outputs/grid/dpo-beta0.1-seed0-00abcd"),
    state="done",
    axes={"method": "dpo", "beta": 0.1, "lr": 5e-05, "logprob_avg": False, "data_limit": None},
    scores={"text": Score(7.5, 240, 7.0, 8.0), "text/category/math": Score(4.0, 30, 3.0, 5.0)},
    config=CONFIG,
)
BASE = Row(
    "base-00abcd", POINT.folder.with_name("base-00abcd"), role=Role.base, axes={"data_scale": 0.0}, config=CONFIG
)


@pytest.mark.parametrize(
    ("typed", "of_point", "of_base"),
    [
        ("beta=0.1", True, False),
        ("beta=.10,0.3", True, False),
        ("beta=0.2", False, False),
        ("beta!=0.2", True, False),
        ("beta<=0.1", True, False),
        ("beta>0.1", False, False),
        ("lr=5e-5", True, False),
        ("logprob_avg=false", True, False),
        ("data_limit=null", True, True),
        ("data_scale=0", False, True),
        ("method=dpo,ipo", True, False),
        ("model=llava_1_5_13b", True, True),
        ("model=llava*", True, True),
        ("model=nano", False, False),
        ("model.lora.r>=64", True, True),
        ("model.train_projector=true", True, True),
        ("bench.judge=gemini", True, True),
        ("bench.tasks=visual", True, True),
        ("train=paper", True, False),
        ("train.num_train_epochs=3", True, False),
        ("train.weight_decay=0", True, False),  # the default, which an older config lacks
        ("text>7.4", True, False),
        ("text > 7.5", False, False),
        ("text/category/math<5", True, False),
        ("visual>0", False, False),
        ("study=grid", True, True),
        ("point=dpo-*", True, False),
        ("role=base", False, True),
        ("state=done", True, False),
    ],
)
def test_terms_match(typed, of_point, of_base):
    term = read_term(typed)
    assert (term.matches(POINT), term.matches(BASE)) == (of_point, of_base)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("beta", "KEY=VALUE"),
        ("=3", "KEY=VALUE"),
        ("betta=0.1", "did you mean beta"),
        ("learning_rate=1", "did you mean lr"),
        ("train.epochs=3", "train.num_train_epochs"),
        ("vsual>1", "did you mean visual"),
        ("text=good", "'good'"),
        ("beta>high", "'high'"),
        ("beta>0.1,0.2", "one number"),
    ],
)
def test_terms_are_refused(typed, said):
    with pytest.raises(UserError, match=said):
        read_term(typed)
