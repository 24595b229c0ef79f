"""The configs of a sweep: equal to what Hydra composes, with one composition per group of points."""

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmdpo.config.schema import CONF
from mmdpo.entry.compose import typed
from mmdpo.entry.compose_points import REFERENCE, compose_points
from mmdpo.errors import UserError

VALUES = {
    "beta": ["0.1", "1e-3", "'0.2'", '"0.3"', "2", "null", "${method.beta}", "${lr}", "-1", "inf"],
    "lr": ["5e-5", "'1e-3'", "${oc.select:model.lr.dpo,1}", "0"],
    "logprob_avg": ["true", "False", "null"],
    "data_scale": ["0", "0.5", "1", "1.5"],
    "data_limit": ["null", "10", "'10'"],
    "label_noise": ["0", "0.25", "${data_scale}"],
    "seed": ["0", "7", "'7'"],
}
OTHERS = [
    "method=ipo",
    "method=sft",
    "method.beta=0.7",
    "++beta=0.4",
    "++seed=3",
    "model.lr.dpo=1e-2",
    "~model.lr.dpo",
    "train.weight_decay=${label_noise}",
    "train.num_train_epochs=${..beta}",
    "bench.seed=${oc.select:seed,1}",
    "data.seed=${seed}",
    "study=beta",
]


def key(override):
    return override.lstrip("~+").partition("=")[0]


@st.composite
def sweeps(draw):
    """Points of one line: the same axes with other values, and the same other overrides."""
    others = draw(st.lists(st.sampled_from(OTHERS), max_size=2, unique_by=key))  # no key is taken away twice
    axes = draw(st.lists(st.sampled_from(list(VALUES)), max_size=3, unique=True))
    place = draw(st.integers(0, len(axes)))
    points = []
    for _ in range(draw(st.integers(1, 4))):
        values = [f"{axis}={draw(st.sampled_from(VALUES[axis]))}" for axis in axes]
        points.append([*values[:place], *others, *values[place:]])
    return points


@pytest.fixture(autouse=True, scope="module")
def _hydra():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


class Compose:
    """Hydra's composition, which counts its calls."""

    def __init__(self):
        self.times = 0

    def __call__(self, overrides):
        self.times += 1
        return compose("config", overrides)


def fast(points):
    """The configs of the points; an error message ends the list."""
    found = []
    try:
        found += compose_points(Compose(), points)
    except UserError as error:
        found.append(str(error))
    return found


def slow(points):
    """The same, each point composed by Hydra."""
    found = []
    for overrides in points:
        try:
            found.append(typed(compose("config", overrides)))
        except UserError as error:
            return [*found, str(error)]
    return found


@pytest.mark.long
@given(sweeps())
@settings(max_examples=12, deadline=None)
@example([["beta=0.1", "++beta=0.4"], ["beta=0.2", "++beta=0.4"]])
@example([["train.num_train_epochs=${..beta}", "beta=0.1"], ["train.num_train_epochs=${..beta}", "beta=0.2"]])
@example([["beta=0.1", "lr=1e-3"], ["beta=${lr}", "lr=1e-4"], ["beta=0.3", "lr=1e-5"]])
@example([["method=ipo"], ["method=sft"], ["method=dpo"]])
def test_points_are_what_hydra_composes(points):
    assert fast(points) == slow(points)


def test_points_that_differ_in_axes_are_composed_once():
    counted = Compose()
    betas = [["method=dpo", f"beta={beta}", f"seed={seed}"] for beta in (0.1, 0.2, 0.3) for seed in range(5)]
    assert len([*compose_points(counted, betas)]) == 15
    assert counted.times == 1
    methods = [[f"method={name}", f"seed={seed}"] for name in ("dpo", "ipo", "sft") for seed in range(3)]
    names = [config.method.name for config in compose_points(counted, methods)]
    assert names == ["dpo"] * 3 + ["ipo"] * 3 + ["sft"] * 3
    assert counted.times == 1 + 3


@pytest.mark.parametrize(
    ("first", "wrong", "words"),
    [
        (["beta=0.1"], ["beta=abc"], "beta=abc: must be a number or null; type beta=VALUE"),
        (["beta=0.1"], ["beta={a:1}"], "beta={'a': 1}: must be a number"),
        (["seed=1"], ["seed=1.5"], "seed=1.5: must be a whole number"),
        (["seed=1"], ["seed=null"], "seed=null: "),
        (["lr=1"], ["lr=???"], "lr=???: "),
        (["lr=1", "beta=0.1"], ["lr=-1", "beta=-1"], "beta=-1.0: must be above 0\nlr=-1.0: must be above 0"),
    ],
)
def test_a_wrong_value_of_a_later_point_is_named_with_its_override(first, wrong, words):
    with pytest.raises(UserError) as caught:
        [*compose_points(Compose(), [first, wrong])]
    assert str(caught.value).startswith(words)


def test_an_unknown_key_of_a_later_point_is_refused_before_the_first_is_composed():
    counted = Compose()
    with pytest.raises(UserError, match=r"betta: unknown key; did you mean beta"):
        [*compose_points(counted, [["beta=0.1"], ["betta=0.1"]])]
    assert counted.times == 0


def test_what_hydra_refuses_keeps_its_message():
    with pytest.raises(HydraException, match=r"Could not find 'method/dop'"):
        [*compose_points(Compose(), [["beta=0.1"], ["method=dop"]])]


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("${beta}", True),
        ("${.beta}", True),
        ("${..beta}", True),
        ("${oc.select:x,${seed}}", True),
        ("${oc.select:data_scale,1}", True),
        ("x${lr}y", True),
        ("${method.beta}", False),
        ("${oc.select:model.lr.${method.name},${method.lr}}", False),
        ("${betas}", False),
        ("beta", False),
    ],
)
def test_a_reference_to_an_axis_is_seen(text, is_one):
    assert bool(REFERENCE.search(text)) is is_one
