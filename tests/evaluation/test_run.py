from mmdpo.config import BENCHMARKS as NAMES
from mmdpo.evaluation.run import BENCHMARKS


def test_every_benchmark_that_the_config_takes_is_there():
    assert set(BENCHMARKS) == set(NAMES)
