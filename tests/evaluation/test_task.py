"""Tasks as data, and the folder that they are found in."""

import dataclasses
import textwrap
from pathlib import Path

import pytest

from mmdpo.config.choices import BENCHMARKS, Split
from mmdpo.config.schema import BenchConfig
from mmdpo.entry.compose import compose_config
from mmdpo.errors import UserError
from mmdpo.evaluation import tasks
from mmdpo.evaluation.answers import write_answers
from mmdpo.evaluation.judgments import bench_judge, write_judgments
from mmdpo.evaluation.samples import sample_sets
from mmdpo.evaluation.task import Cluster, find_task, in_order, load_task
from mmdpo.records import Prompt
from tests.support.program import program

NANO = ["text", "visual", "presence", "text_noisy"]
MINE = '''
"""Sums."""

from mmdpo.evaluation.scorers import EXACT_MATCH_METRICS, exact_match
from mmdpo.evaluation.solvers import single_turn
from mmdpo.evaluation.task import Task
from mmdpo.records import Prompt


def samples(bench, folder):
    return [Prompt(f"sum-{n}", f"What is {n} + 1?", facts={"answer": [str(n + 1)]}) for n in range(bench.items)]


TASK = Task("sums", samples, single_turn, exact_match, EXACT_MATCH_METRICS, main_metric="accuracy", order=15)
'''


@pytest.fixture
def mine(tmp_path, monkeypatch):
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "sums.py").write_text(textwrap.dedent(MINE))
    monkeypatch.setattr(tasks, "__path__", [*tasks.__path__, str(folder)])
    yield
    load_task.cache_clear()


def test_the_tasks_are_the_files_of_the_folder():
    folder = Path(str(tasks.__file__)).parent
    assert set(BENCHMARKS.names()) == {path.stem for path in folder.glob("[a-z]*.py")} > set(NANO)
    with pytest.raises(UserError, match=r"bench\.tasks=txt.*presence, .*text, text_noisy, visual"):
        load_task("txt")
    assert find_task("txt") is None


def test_tasks_declare_order_labels_scales_and_what_is_better():
    assert in_order(["unknown", "text_noisy", "presence", "visual", "text", "other"]) == [*NANO, "unknown", "other"]
    text, presence = load_task("text"), load_task("presence")
    assert (text.label, text.scale, text.main_metric, text.higher_is_better) == (
        "text instructions",
        (1, 10),
        "score",
        True,
    )
    assert (presence.scale, presence.main_metric, presence.cluster) == ((0, 1), "accuracy", Cluster.item)
    assert presence.metric("unparsed").higher_is_better is False
    assert presence.metric("coherence") is None


def test_a_main_metric_that_the_task_lacks_is_refused():
    with pytest.raises(ValueError, match=r"main_metric='f1'.*score, correctness"):
        dataclasses.replace(load_task("text"), main_metric="f1")


@pytest.mark.parametrize(
    ("cluster", "name"), [(Cluster.item, "7"), (Cluster.image, "a.png"), (Cluster.question, "What?")]
)
def test_the_cluster_of_an_item(cluster, name):
    task = dataclasses.replace(load_task("text"), cluster=cluster)
    assert task.cluster_of(Prompt("7", "What?", images=("a.png",))) == name
    assert dataclasses.replace(task, cluster=Cluster.image).cluster_of(Prompt("7", "What?")) == "7"


def test_the_fingerprint_is_of_the_version_and_the_content_of_the_files(tmp_path):
    file = tmp_path / "questions.jsonl"
    file.write_text("one")
    task = dataclasses.replace(load_task("text"), files=lambda bench: [file])
    bench = BenchConfig(tasks=["text"])
    before = task.fingerprint(bench)
    file.touch()
    assert task.fingerprint(bench) == before != load_task("text").fingerprint(bench)
    assert dataclasses.replace(task, version=2).fingerprint(bench) != before
    file.write_text("two")
    assert task.fingerprint(bench) != before


def test_looking_at_tasks_loads_no_heavy_library():
    code = (
        "import sys; from mmdpo.evaluation.task import in_order; in_order(['text', 'presence']);"
        "print([name for name in ('torch', 'transformers', 'numpy', 'scipy', 'PIL') if name in sys.modules])"
    )
    assert program("-c", code, real=True).stdout.strip() == "[]"


def test_a_task_is_one_file(mine, generation, tmp_path: Path):
    """A new file in the folder can be chosen, answered, judged and ordered like the others."""
    bench = compose_config(["bench.tasks=[sums,text]", "objective=sums", "bench.items=4"]).bench
    generation.reply = lambda prompt: " 3. " if prompt.id.startswith("sum") else "No."
    sets = sample_sets(bench, {}, "")
    write_answers(sets, generation, {}, bench, tmp_path)
    scores = write_judgments(sets, bench_judge(BenchConfig().judge), {}, bench, tmp_path).scores
    assert (scores["sums"].value, scores["sums"].n, scores["sums/words"].value) == (0.25, 4, 1)
    assert scores["text"].n == 4
    assert in_order(["visual", "sums", "text"]) == ["text", "sums", "visual"]
    with pytest.raises(UserError, match=r"bench\.tasks.*sum.*sums"):
        compose_config(["bench.tasks=[sum]"])


def test_samples_of_another_split_share_no_question():
    dev, test = (
        sample_sets(BenchConfig(tasks=["text"], items=16, split=split), {}, "")[0].prompts
        for split in (Split.dev, Split.test)
    )
    assert not {prompt.question for prompt in dev} & {prompt.question for prompt in test}
