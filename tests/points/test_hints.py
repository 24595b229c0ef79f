"""Suggested commands."""

import pytest

from mmdpo.points.hints import hint, is_swept

TYPED = ["python", "launch.py", "--config-dir", "a=b", "-m", "beta=0.1,0.2", "data=pairs", "data.path='x,y.jsonl'"]


def test_a_hint_has_what_was_typed() -> None:
    assert hint(TYPED, "stage=sample") == (
        "python launch.py --config-dir a=b -m beta=0.1,0.2 data=pairs 'data.path='\"'\"'x,y.jsonl'\"'\"'' stage=sample"
    )
    assert hint(["python", "launch.py", "stage=prompts", "study=s", "stage=x"], "stage=sample") == (
        "python launch.py stage=sample study=s"
    )


def test_another_sweep_leaves_out_what_was_swept() -> None:
    words = [*TYPED, "+sweep=methods", "method.attributes.x=1", "study=my study"]
    assert hint(words, "sweep=data_scaling", without=("method",), sweep=True) == (
        "python launch.py -m sweep=data_scaling --config-dir a=b data=pairs "
        "'data.path='\"'\"'x,y.jsonl'\"'\"'' 'study=my study'"
    )
    search = ["python", "launch.py", "-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=3", "study=s"]
    search += ["search=halving", "search.keep=0.3"]
    assert hint(search, "seed=0,1", sweep=True) == "python launch.py -m seed=0,1 study=s"
    assert hint([], "seed=0,1,2", sweep=True) == "python launch.py -m seed=0,1,2"


@pytest.mark.parametrize(
    ("override", "swept"),
    [
        ("beta=0.1,0.2", True),
        ("lr=range(1,3)", True),
        ("seed=choice(1)", True),
        ("bench.tasks=[text,visual]", False),
        ("data.path='a,b'", False),
        ("method.attributes={a:1,b:2}", False),
        ("beta=0.1", False),
    ],
)
def test_several_values_are_seen(override: str, swept: bool) -> None:
    assert is_swept(override) is swept
