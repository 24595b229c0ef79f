"""Data formats, one file each: found, chosen by name, used, and refused if misspelt."""

import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest
import yaml

import mmdpo.sources
from mmdpo.config.choices import EXAMPLE_FORMATS, PAIR_FORMATS, PROMPT_FORMATS, SYNTHETIC_FORMATS, data_formats
from mmdpo.config.schema import CONF
from mmdpo.entry.compose import compose_config
from mmdpo.errors import UserError
from mmdpo.pipeline.training_sets import training_set
from mmdpo.records import Prompt
from mmdpo.sources.doctor import examine
from mmdpo.sources.formats import Format, Synthetic, by_row, file_format, prompt_format, synthetic_prompts
from mmdpo.sources.prompts import gather_prompts
from tests.sources.files import as_lines

MINE = """
    from mmdpo.sources.formats import Format, by_row

    def _row(row):
        return {"id": row["key"], "prompt": row["asked"], "chosen": row["good"], "rejected": row["bad"]}

    PAIRS = Format(frozenset({"key", "asked", "good", "bad"}), by_row(_row))
"""
MINE2 = """
    from mmdpo.records import Prompt, SftExample
    from mmdpo.sources.formats import Format, by_row

    def _prompts(rows, seed):
        for number, row in by_row(lambda row: row)(rows, seed):
            for index, question in enumerate(row["asked"]):
                yield number, Prompt(f"{row['key']}-{index}", question)

    def _example(row):
        return SftExample(row["key"], row["asked"][0], row["good"])

    PROMPTS = Format(frozenset({"key", "asked"}), _prompts)
    EXAMPLES = Format(frozenset({"key", "asked", "good"}), by_row(_example))
"""
MINE3 = """
    from mmdpo.records import Prompt
    from mmdpo.sources.formats import Synthetic

    def _generate(count, seed, folder):
        return [Prompt(f"{seed}-{index}", f"What is {index} + 1?") for index in range(count)]

    SYNTHETIC = Synthetic(_generate, version=lambda: "1")
"""
PAIR = {"key": "k", "asked": "What?", "good": "A cup.", "bad": "A dog."}


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder beside mmdpo/sources with three files of formats."""
    folder = tmp_path / "formats"
    folder.mkdir()
    for name, text in {"mine": MINE, "mine2": MINE2, "mine3": MINE3}.items():
        (folder / f"{name}.py").write_text(dedent(text))
    monkeypatch.setattr(mmdpo.sources, "__path__", [*mmdpo.sources.__path__, str(folder)])
    yield tmp_path
    for name in ("mine", "mine2", "mine3"):
        sys.modules.pop(f"mmdpo.sources.{name}", None)
        vars(mmdpo.sources).pop(name, None)


def test_a_format_of_answers(mine: Path) -> None:
    path = as_lines(mine / "a.jsonl", [{**PAIR, "asked": ["What?"]}])
    line = ["data=pairs", "data.format=mine2", f"data.path={path}"]
    (example,) = training_set(compose_config([*line, "method=sft"])).examples
    assert (example.id, example.question, example.answer) == ("k", "What?", "A cup.")  # type: ignore[union-attr]
    with pytest.raises(UserError, match="method=sft"):
        compose_config([*line, "method=dpo"])


def test_a_format_of_prompts_may_make_several_of_a_row(mine: Path) -> None:
    path = as_lines(mine / "a.jsonl", [{**PAIR, "asked": ["What?", "Who?"]}, {**PAIR, "key": "l", "asked": []}])
    line = ["data=prompts", "judge=longer", "data.sources.prompts.format=mine2", f"data.sources.prompts.path={path}"]
    config = compose_config(line)
    prompts, facts = gather_prompts(config.data, mine / "out")
    assert sorted(prompts, key=lambda prompt: prompt.id) == [
        Prompt("prompts/k-0", "What?"),
        Prompt("prompts/k-1", "Who?"),
    ]
    assert facts == {"sources": {"prompts": {"read": 2, "kept": 2, "dropped": {}}}}
    (finding,) = examine(config.data)
    assert (finding.good, finding.format, finding.columns, finding.kept) == (True, "mine2", ["asked", "key"], 2)


def test_synthetic_prompts(mine: Path) -> None:
    from mmdpo.config.choices import Stage
    from mmdpo.pipeline.data_stages import get_or_make, prompts_of

    config = compose_config(["data.format=mine3", "data.prompts=2", "data.seed=5", "judge=longer"])
    assert [prompt.id for prompt in prompts_of(config)] == ["5-0", "5-1"]
    nano = compose_config(["data.prompts=2", "data.seed=5"])
    assert get_or_make(nano, Stage.prompts) != get_or_make(config, Stage.prompts)


@pytest.mark.parametrize(
    ("overrides", "choices"),
    [
        (["data=pairs", "data.format=min", "data.path=FILE"], ("mine", "mine2", "pairs", "llava_sft", "nano")),
        (["data.format=min"], ("mine3", "nano", "pairs")),
        (
            ["data=prompts", "data.sources.prompts.path=FILE", "data.sources.prompts.format=min"],
            ("mine2", "llava_sft", "lrv", "scigraphqa"),
        ),
    ],
)
def test_a_misspelt_format_is_refused_with_the_choices(
    mine: Path, overrides: list[str], choices: tuple[str, ...]
) -> None:
    path = as_lines(mine / "a.jsonl", [PAIR])
    with pytest.raises(UserError) as error:
        compose_config([override.replace("FILE", str(path)) for override in [*overrides, "judge=longer"]])
    key = next(override for override in overrides if override.endswith("=min"))
    assert key in str(error.value)
    assert all(choice in str(error.value) for choice in choices)


def test_loading_an_unknown_format_names_the_choices() -> None:
    with pytest.raises(UserError, match=r"data\.sources\.x\.format=pairs: .*llava_sft, lrv, scigraphqa"):
        prompt_format("pairs", "data.sources.x.format")
    with pytest.raises(UserError, match=r"data\.format=nano: .*pairs.*llava_sft"):
        file_format("nano")
    with pytest.raises(UserError, match=r"data\.format=pairs: .*nano"):
        synthetic_prompts("pairs")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.path=FILE"], "data.format=nano reads no file"),
        (["data=pairs", "data.format=null", "data.path=FILE"], "data.format is missing: data=pairs"),
        (["data=pairs", "data.format=nano", "data.path=FILE"], "data.format=nano reads no file"),
        (["data=prompts", "data.sources.prompts.path=FILE", "data.format=pairs"], "type data.format=null"),
        (["data=prompts", "data.sources.prompts.path=FILE", "data.path=FILE"], "reads data.sources"),
        (["data.format=authors"], "data.path is missing"),
        (["data=pairs", "data.path=FILE", "data.hub=owner/name"], "data.hub=owner/name is given, too"),
        (["data=prompts", "data.sources.prompts.path=FILE", "data.hub=owner/name"], "reads data.sources"),
        (["data.hub=owner/name"], "data.format=nano reads no file"),
        (["data=pairs", "data.path=FILE", "data.hub_revision=v1"], "only data.hub uses it"),
        (["data=pairs", "data.path=FILE", "data.hub_split=test"], "only data.hub uses it"),
        (["data=pairs", "data.path=FILE", "data.fields.better=good"], "data.fields.better=good: not a field"),
        (["data.fields.chosen=good"], "data.fields.chosen=good: only files of pairs"),
    ],
)
def test_settings_that_contradict_the_format(tmp_path: Path, overrides: list[str], message: str) -> None:
    path = as_lines(tmp_path / "a.jsonl", [PAIR])
    with pytest.raises(UserError) as error:
        compose_config([override.replace("FILE", str(path)) for override in [*overrides, "judge=longer"]])
    assert message in str(error.value)


def test_the_name_is_a_label(tmp_path: Path) -> None:
    path = as_lines(tmp_path / "a.jsonl", [{"prompt": "What?", "chosen": "A cup.", "rejected": "A dog."}])
    for name in ("paper", "nano", "pairs", "llava_sft"):
        config = compose_config(["data=pairs", f"data.name={name}", f"data.path={path}"])
        assert len(training_set(config).examples) == 1
        (finding,) = examine(config.data)
        assert (finding.name, finding.good) == (name, True)
    with pytest.raises(UserError, match=r"data\.path is missing: data=nano"):
        compose_config(["data=pairs", "data.name=nano"])


def test_every_format_loads() -> None:
    for kind in (PROMPT_FORMATS, PAIR_FORMATS, EXAMPLE_FORMATS):
        for name in kind.names():
            form = kind.load(name)
            assert isinstance(form, Format)
            assert form.columns
    assert [type(SYNTHETIC_FORMATS.load(name)) for name in SYNTHETIC_FORMATS.names()] == [Synthetic]
    assert PROMPT_FORMATS.names() == ("llava_sft", "lrv", "scigraphqa")
    pairs = (
        "authors helpsteer hh_rlhf kto llamafactory_alpaca llamafactory_sharegpt llava_rlhf ms_swift openai_preference "
        "pairs rlhf_v ultrafeedback vlfeedback"
    )
    assert data_formats() == ("nano", *pairs.split(), "llava_sft", "messages")


def test_every_preset_names_a_format() -> None:
    for path in (CONF / "data").glob("*.yaml"):
        preset = yaml.safe_load(path.read_text("utf-8"))
        if "sources" in preset:
            assert "format" not in preset
            assert {source["format"] for source in preset["sources"].values()} <= set(PROMPT_FORMATS.names())
        else:
            assert preset["format"] in data_formats()


def test_a_row_error_keeps_the_row_number() -> None:
    rows = iter([(3, b"{"), (7, {"a": 1})])
    (three, error), (seven, item) = by_row(lambda row: row["a"])(rows, 0)
    assert (three, seven, item) == (3, 7, 1)
    assert error.reason == "not JSON"
