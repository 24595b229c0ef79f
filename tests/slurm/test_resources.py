"""Resources of a job, compared with the nodes of a stand-in for sinfo."""

import dataclasses
import math

import pytest

from mmdpo.entry.compose import compose_config
from mmdpo.errors import UserError
from mmdpo.slurm import client as slurm
from mmdpo.slurm.resources import check_fits, parse_memory, parse_time_limit, read_node_groups

SINFO = """\
main*|64|512000|gpu:a100:4(S:0-1)|1-00:00:00|10
main*|32+|256000+|(null)|1-00:00:00|4
short|16|64000|gpu:2,nvme:1|30:00|2
always|128|1000000|gpu:h100:8,gpu:v100:2|infinite|1
"""
CLUSTER = compose_config(["cluster=slurm"]).cluster


@pytest.fixture(autouse=True)
def _nodes(monkeypatch):
    def run(*command):
        assert "--exact" in command  # or nodes of several kinds are one line, with the least of each
        return SINFO

    monkeypatch.setattr(slurm, "run_command", run)


def test_sinfo_is_understood():
    main, other, short, always = read_node_groups()
    assert (main.partition, main.default, main.gpus, main.minutes, main.count) == ("main", True, 4, 1440, 10)
    assert (other.cpus, other.memory, other.gpus) == (32, 256000, 0)
    assert (short.default, short.gpus, short.minutes) == (False, 2, 30)
    assert (always.gpus, always.minutes) == (10, math.inf)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"gpus_per_node": 8},
            "cluster.gpus_per_node: the job needs 8 GPUs per node, and the largest node of partition main has 4",
        ),
        (
            {"cpus_per_task": 17, "gpus_per_node": 4},
            "cluster.cpus_per_task: the job needs 68 CPUs per node, and the largest node of partition main has 64",
        ),
        (
            {"mem": "600G"},
            "cluster.mem: the job needs 614400 MB per node, and the largest node of partition main has 512000",
        ),
        ({"nodes": 15}, "cluster.nodes=15: partition main has 14"),
        (
            {"timeout_min": 1441},
            "type cluster.timeout_min=1440",
        ),
        (
            {"partition": "short"},
            "type cluster.timeout_min=30",
        ),
        ({"partition": "short", "timeout_min": 30, "gpus_per_node": 3}, "the largest node of partition short has 2"),
    ],
)
def test_what_can_never_start_is_refused(changes, words):
    with pytest.raises(UserError) as caught:
        check_fits(dataclasses.replace(CLUSTER, **changes))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"gpus_per_node": 4, "cpus_per_task": 16, "mem": "500G", "nodes": 14},
        {"partition": "always", "gpus_per_node": 8, "timeout_min": 99999},
        {"partition": "short,always", "gpus_per_node": 8, "timeout_min": 1440},  # SLURM chooses the one that fits
        {"partition": "nowhere", "gpus_per_node": 99},  # sbatch rejects it itself
    ],
)
def test_what_can_start_is_left_to_sbatch(changes):
    check_fits(dataclasses.replace(CLUSTER, **changes))


def test_all_that_does_not_fit_is_named_at_once():
    with pytest.raises(UserError) as caught:
        check_fits(dataclasses.replace(CLUSTER, gpus_per_node=9, nodes=99, timeout_min=9999))
    assert len(str(caught.value).splitlines()) == 4  # 9 processes of 8 CPUs, too


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1-12:30:00", 2190), ("2:00:00", 120), ("30:00", 30), ("0:30", 0.5), ("infinite", math.inf)],
)
def test_slurms_times(text, expected):
    assert parse_time_limit(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("64G", 65536), ("500m", 500), ("64000", 64000), ("1T", 1048576), ("512K", 0.5)]
)
def test_slurms_sizes(text, expected):
    assert parse_memory(text) == expected
