import torch

from mmdpo.entry.compose import compose_config
from mmdpo.provenance import git_commit, set_threads, versions


def test_a_result_says_what_it_was_made_with():
    assert {"python", "mmdpo", "torch", "trl", "transformers", "peft"} <= set(versions())
    commit = git_commit()
    assert commit is None or len(commit.removesuffix("-dirty")) == 40


def test_a_package_that_is_not_installed_has_no_version(monkeypatch):
    monkeypatch.setattr("mmdpo.provenance.PACKAGES", ("torch", "no-such-package"))
    found = versions()
    assert found["no-such-package"] is None
    assert found["torch"]


def test_the_number_of_threads_is_the_configs():
    before = torch.get_num_threads()
    set_threads(compose_config(["cluster.threads=1"]).cluster.threads)
    assert torch.get_num_threads() == 1
    torch.set_num_threads(before)
    set_threads(compose_config(["model.threads=null"]).cluster.threads)
    assert torch.get_num_threads() == before
