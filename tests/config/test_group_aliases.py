"""The short spelling of the benchmarks' judge, and configs of versions in which it was a name."""

from mmdpo.config.group_aliases import as_typed, spelled_out, with_judge_group
from mmdpo.entry.compose import compose_config


def test_the_short_spelling_chooses_a_file_and_a_dictionary_sets_values():
    words = ["-m", "bench.judge=gemini,longer", "bench.judge={repeat: 0.5}", "bench.judge.model=m"]
    long = spelled_out(words)
    assert long == ["-m", "judge@bench.judge=gemini,longer", *words[2:]]
    assert as_typed(long) == words


def test_the_judge_of_the_benchmarks_is_not_that_of_the_pairs():
    config = compose_config(
        ["bench.judge=gemini", "bench.judge.limits.budget=5", "bench.judge.base_url=http://127.0.0.1:1"]
    )
    assert (config.judge.client, config.bench.judge.client) == ("oracle", "gemini")
    assert (config.judge.limits.budget, config.bench.judge.limits.budget) == (None, 5)
    assert config.bench.judge.limits.requests_per_day is None  # a server on this machine has no quota of the service


def test_a_name_of_an_earlier_version_becomes_a_group():
    old = {"bench": {"judge": "longer", "items": 4}, "seed": 1}
    assert with_judge_group(old) == {
        "bench": {"judge": {"name": "longer", "client": "longer"}, "items": 4},
        "seed": 1,
    }
    for other in ({"bench": {"judge": {"client": "x"}}}, {"bench": None}, {}):
        assert with_judge_group(other) == other
