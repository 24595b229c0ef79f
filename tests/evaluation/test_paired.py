from mmdpo.config.schema import BenchConfig
from mmdpo.evaluation.paired import paired
from mmdpo.evaluation.task import Judgment


def judgments(**scores):
    return [Judgment(name, score, {}, 1, cluster=name[0]) for name, score in scores.items()]


def test_items_that_both_sets_scored_are_compared():
    noisy = judgments(a1=5.0, a2=6.0, b1=3.0, b2=None, c1=9.0)
    clean = judgments(a1=6.0, a2=6.0, b1=5.0, b2=4.0, d1=1.0)
    found = paired(noisy, clean, BenchConfig(resamples=200))
    assert (found.value, found.n, found.unscored) == (-1.0, 3, 3)
    assert (found.low, found.high) == (-2.0, -0.5)  # both of one cluster: question b, question a
    assert paired(noisy, judgments(z=1.0), BenchConfig()).n == 0
