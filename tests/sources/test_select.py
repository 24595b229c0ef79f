"""Selection of prompts by rank: nested, independent of the order of rows, only with valid images."""

import json
import random
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdpo.config.choices import OnBadRow
from mmdpo.errors import UserError
from mmdpo.records import Prompt
from mmdpo.sources import select as module
from mmdpo.sources.select import Selected, Source, candidate_images, select
from tests.sources.files import WRITERS, Rows, as_lines, as_list, as_parquet, photos, tear


def rows(count: int, image: str | None = None) -> Rows:
    return [llava(f"r{index}", f"Question {index}?", image) for index in range(count)]


def llava(id: Any, question: str, image: str | None = None) -> dict[str, Any]:
    marker = "" if image is None else "<image>\n"
    row = {"id": id, "conversations": [{"from": "human", "value": marker + question}]}
    return row if image is None else {**row, "image": image}


def chosen(path: Path, on: OnBadRow = OnBadRow.error, seed: int = 0, **given: Any) -> Selected:
    settings = {"format": "llava_sft", "image_root": None, "count": None, "offset": 0} | given
    return select(Source("own", path=path, **settings), seed, on, path.parent / "out")


def ids(selected: Selected) -> list[str]:
    return [prompt.id for prompt in selected.prompts]


def complaint(path: Path, on: OnBadRow = OnBadRow.error, **given: Any) -> str:
    with pytest.raises(UserError) as error:
        chosen(path, on, **given)
    return str(error.value)


@pytest.fixture(scope="module")
def forty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return as_lines(tmp_path_factory.mktemp("forty") / "a.jsonl", rows(40))


@given(small=st.integers(1, 40), large=st.integers(1, 40), seed=st.integers(0, 5))
def test_a_smaller_count_is_a_prefix(forty: Path, small: int, large: int, seed: int) -> None:
    small, large = sorted((small, large))
    few, many = (ids(chosen(forty, seed=seed, count=count)) for count in (small, large))
    assert len(few) == small
    assert many[:small] == few
    assert len(set(many)) == large


@given(offset=st.integers(0, 39), data=st.data())
def test_an_offset_goes_on_where_a_count_ends(forty: Path, offset: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 40 - offset))
    every = ids(chosen(forty))
    assert ids(chosen(forty, count=count, offset=offset)) == every[offset : offset + count]


@given(seed=st.integers(0, 100), count=st.integers(1, 40))
def test_the_order_of_rows_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, forty: Path, seed: int, count: int
) -> None:
    mixed = rows(40)
    random.Random(seed).shuffle(mixed)
    path = as_lines(tmp_path_factory.mktemp("mixed") / "a.jsonl", mixed)
    assert chosen(path, count=count).prompts == chosen(forty, count=count).prompts


def test_the_seed_changes_the_choice(forty: Path) -> None:
    assert ids(chosen(forty, count=20)) != ids(chosen(forty, count=20, seed=1))
    assert ids(chosen(forty)) != sorted(ids(chosen(forty)))


def test_the_rank_is_what_the_readme_of_a_run_can_repeat(tmp_path: Path) -> None:
    path = as_lines(tmp_path / "a.jsonl", rows(6))
    assert [id[-1] for id in ids(chosen(path, seed=7))] == sorted(
        "012345", key=lambda index: module.hashlib.sha256(f"source 7 r{index}".encode()).hexdigest()
    )


@pytest.mark.parametrize("suffix", WRITERS)
def test_files_and_folders_give_the_same(tmp_path: Path, forty: Path, suffix: str) -> None:
    for part in range(4):
        WRITERS[suffix](tmp_path / f"{part}.{suffix}", rows(40)[part * 10 : part * 10 + 10])
    assert chosen(tmp_path, count=15) == chosen(forty, count=15)


def test_names_are_prefixed_and_images_get_a_second_name(tmp_path: Path) -> None:
    root = photos(tmp_path / "root", "deep/a.png", "b.png")
    path = as_lines(tmp_path / "a.jsonl", [llava(1, "What?", "./deep/../deep/a.png"), llava("x", "Who?")])
    result = chosen(path, image_root=root)
    assert sorted(result.prompts, key=lambda prompt: prompt.id) == [
        Prompt("own/1", "What?", ("own/deep/a.png",)),
        Prompt("own/x", "Who?"),
    ]
    assert (tmp_path / "out/own/deep/a.png").samefile(root / "deep/a.png")
    assert [file.name for file in (tmp_path / "out").rglob("*.*")] == ["a.png"]
    assert chosen(path, image_root=root) == result


def test_images_are_copied_where_they_cannot_be_linked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError("another file system")

    monkeypatch.setattr(module.os, "link", refuse)
    root = photos(tmp_path / "root", "a.png")
    chosen(as_lines(tmp_path / "a.jsonl", rows(3, "a.png")), image_root=root)
    copy = tmp_path / "out/own/a.png"
    assert copy.read_bytes() == (root / "a.png").read_bytes()
    assert not copy.samefile(root / "a.png")


def test_what_a_source_names_elsewhere_never_leaves_the_folder(tmp_path: Path) -> None:
    root = photos(tmp_path / "root", "a.png")
    path = as_lines(tmp_path / "a.jsonl", [llava("x", "What?", "../root/a.png")])
    assert chosen(path, image_root=root).prompts[0].images == ("own/a.png",)


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ("absent.png", "no such file"),
        ("../secret.png", "is outside the image root"),
        ("link.png", "is outside the image root"),
        ("/etc/passwd", "is outside the image root"),
        ("torn.png", "damaged"),
    ],
)
def test_unusable_images(tmp_path: Path, image: str, said: str) -> None:
    root = photos(tmp_path / "root", "a.png", "torn.png")
    photos(tmp_path, "secret.png")
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    tear(root / "torn.png")
    path = as_lines(tmp_path / "a.jsonl", [*rows(5, "a.png"), llava("bad", "What?", image)])
    told = complaint(path, image_root=root)
    assert told.startswith("1 of 6 rows are wrong; fix them, or type data.on_bad_row=drop")
    reason = "field 'image': " + ("no such file" if image == "absent.png" else "not usable")
    assert f"a.jsonl row 6: {reason}" in told
    assert said in told
    assert not (tmp_path / "out").exists()
    result = chosen(path, OnBadRow.drop, image_root=root, count=5)
    assert (result.read, result.kept, result.dropped) == (6, 5, {reason: 1})
    assert not any("bad" in id for id in ids(result))


def test_damaged_images_give_way_to_the_next(tmp_path: Path) -> None:
    names = [f"{index}.png" for index in range(30)]
    root = photos(tmp_path / "root", *names)
    path = as_lines(tmp_path / "a.jsonl", [llava(name, "What?", name) for name in names])
    every = ids(chosen(path, image_root=root))
    for id in (every[1], every[4], every[7]):
        tear(root / id.removeprefix("own/"))
    good = [id for id in every if id not in (every[1], every[4], every[7])]
    first = chosen(path, OnBadRow.drop, image_root=root, count=5)
    then = chosen(path, OnBadRow.drop, image_root=root, count=5, offset=5)
    assert ids(first) + ids(then) == good[:10]  # nothing is left out or taken twice
    assert first.dropped == {"field 'image': not usable": 2}
    assert first.kept == 28


def test_more_damage_than_spare_rows(tmp_path: Path) -> None:
    root = photos(tmp_path / "root", "a.png")
    tear(root / "a.png")
    path = as_lines(tmp_path / "a.jsonl", [*rows(100, "a.png"), *[llava("t", "Text?")]])
    told = complaint(path, OnBadRow.drop, image_root=root, count=2)
    assert told.startswith("data.sources.own: too many damaged images in ")
    assert "repair the images" in told


def test_a_repeated_id_is_dropped_and_no_error(tmp_path: Path) -> None:
    path = as_lines(tmp_path / "a.jsonl", [llava(5, "First?"), llava("5", "Second?"), llava("6", "Third?")])
    result = chosen(path)
    assert sorted(prompt.question for prompt in result.prompts) == ["First?", "Third?"]
    assert (result.read, result.kept, result.dropped) == (3, 2, {"field 'id': duplicate": 1})


def test_a_wrong_row_does_not_take_its_id(tmp_path: Path) -> None:
    path = as_lines(tmp_path / "a.jsonl", [llava("x", " "), llava("x", "Good?")])
    result = chosen(path, OnBadRow.drop)
    assert [prompt.question for prompt in result.prompts] == ["Good?"]
    assert result.dropped == {"field 'conversations': empty": 1}


def test_wrong_rows_are_listed_once_at_the_end(tmp_path: Path) -> None:
    path = as_lines(tmp_path / "a.jsonl", [*rows(3), *[llava("x", "")] * 15, {"id": 1}])
    told = complaint(path).splitlines()
    assert told[0].startswith("16 of 19 rows are wrong")
    assert "data.on_bad_row=drop" in told[0]
    assert told[1].startswith("a.jsonl row 4: field 'conversations': empty")
    assert len(told) == 12
    assert told[-1] == "... and 6 more"
    result = chosen(path, OnBadRow.drop, count=3)
    assert result.dropped == {"field 'conversations': empty": 15, "field 'conversations': missing": 1}


def test_only_wrong_rows_are_an_error_also_on_drop(tmp_path: Path) -> None:
    told = complaint(as_lines(tmp_path / "a.jsonl", [llava("x", "")]), OnBadRow.drop)
    assert told.startswith("1 of 1 rows are wrong; fix them\n")


def test_too_few_rows(forty: Path) -> None:
    told = complaint(forty, count=41)
    assert told == "data.sources.own.count=41: only 40 good rows; type data.sources.own.count=40"
    told = complaint(forty, count=10, offset=35)
    assert "only 5 good rows after data.sources.own.offset=35; type data.sources.own.count=5" in told
    assert "type data.sources.own.offset=0" in complaint(forty, offset=40)
    assert "type data.sources.own.offset=0" in complaint(forty, offset=40, count=1)


def test_wrong_settings(tmp_path: Path, forty: Path) -> None:
    assert "data.sources.own.format=x: unknown; allowed are llava_sft, lrv" in complaint(forty, format="x")
    assert "type data.sources.own.image_root=DIR" in complaint(forty, image_root=tmp_path / "absent")
    with_images = as_lines(tmp_path / "a.jsonl", rows(2, "a.png"))
    assert "rows name images ('a.png' is the first); type data.sources.own.image_root=DIR" in complaint(
        with_images, OnBadRow.drop
    )
    assert "data.sources.own.path=" in complaint(tmp_path / "absent.json")
    assert "no rows" in complaint(as_list(tmp_path / "b.json", []))


@pytest.mark.parametrize("suffix", ["json", "parquet"])
def test_a_torn_file(tmp_path: Path, suffix: str) -> None:
    path = WRITERS[suffix](tmp_path / f"a.{suffix}", rows(300))
    tear(path)
    assert complaint(path, OnBadRow.drop).startswith(f"data.sources.own.path={path}: ")


def test_scigraphqa_and_lrv(tmp_path: Path) -> None:
    root = photos(tmp_path / "root", "fig.png", "7.jpg")
    figures = [
        {"id": "a", "image_file": "fig.png", "q_a_pairs": [["What?", "That."]]},
        {"id": "b", "image_file": "fig.png", "q_a_pairs": None},
        {"id": "c", "image_file": "fig.png", "q_a_pairs": []},
    ]
    path = as_parquet(tmp_path / "a.parquet", figures)
    result = chosen(path, OnBadRow.drop, format="scigraphqa", image_root=root)
    assert result == Selected([Prompt("own/a", "What?", ("own/fig.png",))], 3, 1, {"no question": 2})
    path = as_list(tmp_path / "a.json", [{"image_id": "7", "question": "A dog?", "task": "t"}])
    (prompt,) = chosen(path, format="lrv", image_root=root).prompts
    assert (prompt.question, prompt.images, prompt.category) == ("A dog?", ("own/7.jpg",), "t")


@pytest.mark.parametrize("suffix", WRITERS)
def test_memory_stays_flat(tmp_path: Path, suffix: str) -> None:
    def row(index: int) -> dict[str, Any]:
        return llava(f"r{index}", f"{index} " * 1500)

    path = tmp_path / f"a.{suffix}"
    WRITERS[suffix](path, [row(index) for index in range(3_000)])
    assert len(json.dumps(row(2_999))) * 3_000 > 18_000_000
    tracemalloc.start()
    try:
        result = chosen(path, count=20)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(result.prompts) == 20
    assert result.read == 3_000
    assert peak < 5_000_000


def test_images_of_candidates(tmp_path: Path) -> None:
    path = as_lines(tmp_path / "a.jsonl", [*(llava(i, "?", f"{i}.png") for i in range(200)), {"id": "bad"}])
    root = photos(tmp_path / "root", *(f"{i}.png" for i in range(200)))
    source = Source("own", "llava_sft", path, root, 5, 2)
    listed = candidate_images(source, seed=3)
    assert len(listed) == 5 + 2 + 64
    used = [prompt.images[0] for prompt in chosen(path, OnBadRow.drop, 3, image_root=root, count=5, offset=2).prompts]
    assert {str(image).removeprefix("own/") for image in used} <= set(listed)
