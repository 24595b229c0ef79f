"""Shares of a point's samples, as they are typed."""

import pytest

from mmdpo.config.shard import Shard, parse_shard
from mmdpo.entry.compose import compose_config
from mmdpo.errors import UserError


def test_a_share_is_a_number_of_a_count():
    assert parse_shard(None) is None
    assert parse_shard("2/4") == Shard(2, 4)
    assert compose_config(["bench.shard=4/4", "stage=evaluate"]).bench.shard == "4/4"


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "1/0", "-1/2", "a/b", "1/2/3", "''"])
def test_what_is_no_share_is_refused(text):
    with pytest.raises(UserError, match=r"bench\.shard=.*K/N"):
        compose_config([f"bench.shard={text}", "stage=evaluate"])


@pytest.mark.parametrize("stage", ["experiment", "train", "judge"])
def test_only_answers_are_written_in_shares(stage):
    with pytest.raises(UserError, match=f"stage=evaluate.*stage={stage}"):
        compose_config(["bench.shard=1/4", f"stage={stage}"])
