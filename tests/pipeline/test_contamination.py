"""contamination.json of a point, and its line below the table."""

import dataclasses

from PIL import Image

from mmdpo.analysis.contamination_lines import overlap_line
from mmdpo.entry.compose import compose_config
from mmdpo.evaluation.bench_files import BenchFile
from mmdpo.evaluation.samples import SampleSet
from mmdpo.evaluation.task import TURNS, load_task
from mmdpo.files import read_json
from mmdpo.pipeline.contamination import write_overlap
from mmdpo.points.results import CONTAMINATION
from mmdpo.records import Prompt
from tests.sources.files import as_lines

LONG = "please write a short story about a red fox that jumps over a lazy dog"


def test_a_point_on_pairs_that_hold_a_question_and_an_image_of_a_benchmark(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    Image.linear_gradient("L").resize((32, 32)).rotate(90).convert("RGB").save(images / "a.png")
    row = {"question": "Is it?", "chosen": f"It says: {LONG.upper()}!", "rejected": "no", "image": "a.png"}
    as_lines(tmp_path / "pairs.jsonl", [row, {**row, "question": "Why?", "rejected": "never"}])
    config = compose_config(["data=pairs", f"data.path={tmp_path / 'pairs.jsonl'}", f"data.image_root={images}"])
    task = dataclasses.replace(load_task("text"), bench_files=(BenchFile("k", "k.jsonl", "nowhere", "none"),))
    prompts = [
        Prompt("1", "Hello", facts={TURNS: ["Hello", LONG]}, images=("a.png",)),
        Prompt("2", "another question that is long enough to be compared with all of the training texts"),
    ]
    write_overlap(config, [SampleSet("mine", task, prompts, prompts, images)], tmp_path / "point")
    found = read_json(tmp_path / "point" / CONTAMINATION)["mine"]
    words = " ".join(LONG.split()[:13])
    assert (found["items"], found["long_enough"], found["texts"]) == (2, 2, {"1": words})
    assert (found["images"], found["equal_images"], found["near_images"]) == (1, {"a.png": "a.png"}, {})
    line = overlap_line("mine", found)
    assert "1 of 2 items" in line
    assert words in line
    assert "1 of 1 images" in line


def test_tasks_without_files_are_not_compared(tmp_path):
    config = compose_config([])
    prompts = [Prompt("1", LONG)]
    write_overlap(config, [SampleSet("text", load_task("text"), prompts, prompts, tmp_path)], tmp_path)
    assert not (tmp_path / CONTAMINATION).exists()
    assert overlap_line("text", {"texts": {}, "equal_images": {}, "items": 3}) == ""
