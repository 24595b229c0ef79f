"""The choice of pictures for a study, and their content."""

from pathlib import Path

import pytest

from mmdpo.analysis import figures
from mmdpo.analysis.figures import data, dots, style
from mmdpo.analysis.figures.drawing import Drawing
from mmdpo.analysis.figures.figure import StudyFigure
from mmdpo.analysis.study import Study, read_study
from tests.support.studies import interval, make_point, make_study, write, write_answers

BETAS = [{"beta": beta} for beta in (0.1, 0.2, 0.3)]
SHARES = [{"data_scale": share} for share in (0.25, 0.5, 0.75, 1.0)]
GRID = [b | {"lr": lr, "logprob_avg": average} for b in BETAS for lr in (5e-4, 5e-5) for average in (False, True)]
BY_METHOD = [share | {"method": method} for share in SHARES for method in ("dpo", "ipo")]
LIMITS = [{"data_limit": limit} for limit in (250, 500, 1000)]
LIMITS_AND_SHARES = [limit | share for limit in LIMITS[1:] for share in SHARES]
NO_BETA = {"beta": None, "logprob_avg": None}
METHODS = [{"method": "dpo"}, {"method": "sft", "lr": 4e-4, **NO_BETA}, {"method": "steerlm", **NO_BETA}]


def study(folder: Path, points: list[dict], **options: object) -> Study:
    return read_study(make_study(folder / "study", points, **options))  # type: ignore[arg-type]


def by_name(found: Study) -> dict:
    return {name: drawn for kind in figures.kinds(found) for name, drawn in kind.draw(found).items()}


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        (BETAS, data.Pattern("curve", "beta")),
        (SHARES, data.Pattern("scaling", "data_scale")),
        ([s | {"seed": seed} for s in SHARES for seed in (0, 1)], data.Pattern("scaling", "data_scale")),
        (BY_METHOD, data.Pattern("scaling", "data_scale", by=("method",))),
        (LIMITS, data.Pattern("curve", "data_limit")),
        (LIMITS_AND_SHARES, data.Pattern("scaling", "data_scale", by=("data_limit",))),
        (GRID, data.Pattern("grid", "beta", "lr", ("logprob_avg",))),
        (GRID[::5], data.Pattern("rows", by=("beta", "lr", "logprob_avg"))),  # too sparse for a heat-map
        (METHODS, data.Pattern("rows", by=("method",))),  # beta, lr and averaging follow from the method
        ([{}], data.Pattern("rows")),
        ([{"seed": seed} for seed in (0, 1, 2)], data.Pattern("rows")),
    ],
)
def test_what_is_drawn_follows_from_what_varies(tmp_path: Path, points: list[dict], expected: data.Pattern):
    assert data.pattern(study(tmp_path, points, n=2)) == expected


def test_rounds_are_drawn_from_the_base_on(tmp_path: Path):
    make_study(tmp_path, [])
    for number in (1, 2):
        for seed in (0, 1):
            point = make_point(tmp_path, {"seed": seed, "round": number}, gain=0.2 * number)
            point.rename(point.with_name(f"{point.name}-{number}"))
    found = read_study(tmp_path)
    assert data.pattern(found) == data.Pattern("rounds", "round")
    (line,) = data.score_panels(found, data.pattern(found), ["text"])[0].series
    assert [(dot.x, len(dot.seeds)) for dot in line.dots] == [(0.0, 0), (1.0, 2), (2.0, 2)]
    assert "score_by_round" in by_name(found)


def test_chains_that_differ_in_their_later_rounds_share_the_first(tmp_path: Path):
    make_study(tmp_path, [])
    for number, use in ((1, "train"), (2, "merge"), (2, "sample")):
        point = make_point(tmp_path, {"round": number}, config={"model": {"adapter_use": use}})
        point.rename(point.with_name(f"{point.name}-{number}"))
    found = read_study(tmp_path)
    lines = data.score_panels(found, data.pattern(found), ["text"])[0].series
    assert {line.label: [dot.x for dot in line.dots] for line in lines} == {
        "adapter_use merge": [0.0, 1.0, 2.0],
        "adapter_use sample": [0.0, 1.0, 2.0],
    }


def test_nothing_finished_is_nothing_to_draw(tmp_path: Path):
    make_point(tmp_path / "s", {}, state="planned")
    empty = read_study(tmp_path / "s")
    assert data.pattern(empty).kind == "nothing"
    assert figures.draw_figures(empty, tmp_path / "figures") == []


def test_scaling_curve_starts_at_the_base_and_has_both_dashed_lines(tmp_path: Path):
    found = study(tmp_path, SHARES)
    (panel,) = data.score_panels(found, data.pattern(found), ["text"])
    (line,) = panel.series
    assert [dot.x for dot in line.dots] == [0, 0.25, 0.5, 0.75, 1]
    base, before = (found.rows[i].scores["text"] for i in (0, 1))
    assert line.dots[0].score == base
    assert [dot.score for dot in line.dots[1:]] == [row.scores["text"] for row in found.trained]
    assert [(r.label, r.score) for r in panel.references] == [
        ("base", base),
        ("before visual tuning", before),
    ]


def test_seeds_are_joined_by_their_mean_and_kept_as_dots(tmp_path: Path):
    found = study(tmp_path, [{"beta": beta, "seed": seed} for beta in (0.1, 0.2) for seed in (0, 1, 2)])
    panel = data.score_panels(found, data.pattern(found))[0]
    (line,) = panel.series
    assert [len(dot.seeds) for dot in line.dots] == [3, 3]
    for dot, beta in zip(line.dots, (0.1, 0.2), strict=True):
        scores = [row.scores["text"] for row in found.trained if row.axes["beta"] == beta]
        assert dot.score.value == pytest.approx(sum(s.value for s in scores) / 3)
        assert dot.score.low < dot.score.value < dot.score.high
        assert sorted(dot.seeds) == sorted(s.value for s in scores)


def test_a_second_axis_makes_series_and_a_point_without_the_axis_a_dashed_line(tmp_path: Path):
    points = [b | {"method": m} for b in BETAS for m in ("dpo", "ipo")]
    found = study(tmp_path, [*points, {"method": "sft", **NO_BETA}])
    panels = data.score_panels(found, data.pattern(found))
    assert [panel.benchmark for panel in panels] == ["text", "visual", "presence", "text_noisy"]
    assert [line.label for line in panels[0].series] == ["DPO", "IPO"]
    assert [r.label for r in panels[0].references] == ["base", "before visual tuning", "SFT"]


def test_grid_has_a_block_an_averaging_and_a_row_a_benchmark(tmp_path: Path):
    found = study(tmp_path, GRID)
    blocks = data.heatmaps(found, data.pattern(found))
    assert len(blocks) == 4
    assert [block.label for block in blocks[0]] == ["logps sum", "logps mean"]
    block = blocks[0][1]
    assert (block.xs, block.ys) == ((0.1, 0.2, 0.3), (5e-5, 5e-4))
    assert block.base == found.rows[0].scores["text"]
    for y, lr in enumerate(block.ys):
        for x, beta in enumerate(block.xs):
            (row,) = [
                row
                for row in found.trained
                if (row.axes["beta"], row.axes["lr"], row.axes["logprob_avg"]) == (beta, lr, True)
            ]
            assert block.cells[y][x] == row.scores["text"]


def test_an_unfinished_cell_of_a_grid_is_empty(tmp_path: Path):
    make_study(tmp_path, GRID[:-1])
    make_point(tmp_path, GRID[-1], state="failed", error="x")
    found = read_study(tmp_path)
    last = data.heatmaps(found, data.pattern(found))[0][1]
    assert last.cells[0][2] is None
    assert last.cells[1][2] is not None


def test_parts_leave_out_categories_and_end_with_the_length(tmp_path: Path):
    found = study(tmp_path, [{}])
    assert data.part_keys(found, "text") == [
        f"text/{part}" for part in ("correctness", "helpfulness", "coherence", "words")
    ]
    assert data.part_keys(found, "presence") == ["presence/f1", "presence/yes_ratio"]


@pytest.mark.parametrize(
    ("points", "names"),
    [
        (SHARES, {"data_scaling", "scores"}),
        pytest.param(GRID, {"scores"}, marks=pytest.mark.long),
        pytest.param([b | {"seed": seed} for b in BETAS for seed in (0, 1)], {"scores"}, marks=pytest.mark.exhaustive),
        pytest.param(
            [{"lr": lr, "method": m} for lr in (5e-5, 5e-4) for m in ("dpo", "ipo")],
            {"scores"},
            marks=pytest.mark.exhaustive,
        ),
        pytest.param(METHODS, {"scores"}, marks=pytest.mark.long),
    ],
)
def test_every_pattern_is_drawn(tmp_path: Path, points: list[dict], names: set[str]):
    found = study(tmp_path, points, n=4)
    drawn = figures.draw_figures(found, tmp_path / "figures")
    parts = {f"parts_{benchmark}" for benchmark in ("text", "visual", "text_noisy")}
    assert {one.path.stem for one in drawn} == names | parts | {"gains", "training"}
    assert [one.path.stem for one in drawn[:2]] == (["data_scaling"] * ("data_scaling" in names) + ["gains", "scores"])[
        :2
    ]
    assert all(one.caption.endswith(".") for one in drawn)
    for path in (one.path for one in drawn):
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.stat().st_size > 8000
        assert path.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
    assert len(list((tmp_path / "figures").glob("*.p*"))) == 2 * len(drawn)


def test_the_picture_says_study_model_and_n(tmp_path: Path):
    with style.applied():
        figure = by_name(study(tmp_path, SHARES, n=7))["data_scaling"]
    assert figure.get_suptitle() == "Data scaling\nstudy study, model nano, DPO"
    assert "95 % interval over items; n = 7 items" in figure.get_supxlabel()
    assert "does not start at 0" in figure.get_supxlabel()
    (axes,) = figure.axes
    assert axes.get_ylabel() == "text score (1–10)"
    texts = [text.get_text().replace("\n", " ") for text in axes.texts]
    assert any(text.startswith("before visual tuning") for text in texts)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "25", "50", "75", "100"]


def test_equal_data_makes_equal_bytes(tmp_path: Path):
    found = study(tmp_path, [{}], n=4)
    with style.applied():
        for name in ("first", "second"):
            style.save_figure(by_name(found)["scores"], tmp_path / f"{name}.png")
    for suffix in (".png", ".pdf"):
        first, second = (tmp_path / f"{name}{suffix}" for name in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()


def test_pictures_are_drawn_again_where_something_has_changed(tmp_path: Path, monkeypatch):
    folder = make_study(tmp_path / "s", [{"beta": 0.1}, {"beta": 0.2}], n=2)
    out = folder / "figures"
    times = []

    def again() -> bool:
        before = len(times)
        assert figures.draw_figures(read_study(folder), out) == drawn
        return len(times) > before

    def count(study):
        times.append(1)
        return {"scores": style.new_figure(1, 1)}

    kind = StudyFigure(lambda study: True, count, lambda name: "Scores.")
    monkeypatch.setattr(figures, "kinds", lambda study: [kind])
    drawn = figures.draw_figures(read_study(folder), out)
    assert not again()
    drawn[0].path.with_suffix(".pdf").unlink()
    assert again()
    assert not again()
    make_point(folder, {"beta": 0.3}, n=2)
    assert again()
    assert not again()
    with next(folder.glob("dpo-*/metrics.jsonl")).open("a") as metrics:
        metrics.write('{"step": 36, "loss": 0.1}\n')
    assert again()
    assert not again()
    monkeypatch.setattr(figures, "file_fingerprint", lambda file: "other code")
    assert again()
    assert not again()
    (out / ".drawn.json").write_text("{")
    assert again()
    drawn[0].path.write_bytes(drawn[0].path.read_bytes()[:-20])
    assert again()


def test_an_unknown_benchmark_is_drawn_under_its_own_name(tmp_path: Path):
    for beta in (0.1, 0.2):
        folder = make_point(tmp_path / "s", {"beta": beta})
        entry = interval(50 + 10 * beta, 4, 10)
        write(folder / "result.json", {"axes": {"beta": beta}, "scores": {"my_own": entry, "my_own/words": entry}})
    drawn = by_name(read_study(tmp_path / "s"))
    assert {"scores", "parts_my_own"} <= drawn.keys()
    assert drawn["scores"].axes[0].get_title(loc="left") == "my own"


def scored(folder: Path, axes: dict, values: list[float], **options: object) -> None:
    """Write a point whose text items have these scores; `role` may make it the base."""
    point = make_point(folder, axes, n=2, **options)  # type: ignore[arg-type]
    items = [{"id": f"text-{n}", "score": value, "parts": {}, "words": 1} for n, value in enumerate(values)]
    write_answers(point, "text", items)
    entry = interval(sum(values) / len(values), 0.5, len(values))
    result = {"role": options.get("role", "trained"), "axes": axes, "scores": {"text": entry}}
    write(point / "result.json", result)


def test_the_best_cell_of_a_grid_is_marked_and_those_that_may_be_as_good(tmp_path: Path):
    wave = [0.1 * (n % 5) for n in range(40)]
    gains = {(0.1, 5e-4): 1.0, (0.2, 5e-4): 0.99, (0.1, 5e-5): 0.2, (0.2, 5e-5): 0.0}
    for number, ((beta, lr), gain) in enumerate(gains.items()):
        values = [5 + gain + wave[n] * (1 if (n + number) % 2 else -1) for n in range(40)]
        scored(tmp_path, {"beta": beta, "lr": lr}, values)
    found = read_study(tmp_path)
    ((block,),) = data.heatmaps(found, data.pattern(found))
    assert (block.xs, block.ys) == ((0.1, 0.2), (5e-5, 5e-4))
    assert block.marks == ((data.Mark.other, data.Mark.other), (data.Mark.best, data.Mark.close))


def test_the_forest_shows_gains_with_their_verdicts(tmp_path: Path):
    noise = [0.2 * (n % 3 - 1) for n in range(30)]
    scored(tmp_path, {"data_scale": 0.0}, [5.0] * 30, role="base")
    for beta, gain in ((0.1, 0.5), (0.2, -0.5), (0.3, 0.01)):
        scored(tmp_path, {"beta": beta}, [5 + gain + one for one in noise])
    figure = by_name(read_study(tmp_path))["gains"]
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["+0.50 better", "−0.50 worse", "+0.01 unclear"]
    assert "corrected for 3 comparisons" in figure.get_label()
    assert "of one seed" in figure.get_label()


def test_there_is_no_forest_without_a_base(tmp_path: Path):
    assert "gains" not in by_name(study(tmp_path, BETAS, n=2, references=False))


def test_a_dot_has_the_interval_of_its_gain_over_the_base(tmp_path: Path):
    scored(tmp_path, {"data_scale": 0.0}, [4.0, 5.0, 6.0, 7.0], role="base")
    scored(tmp_path, {"data_scale": 0.5}, [5.0, 5.5, 7.0, 7.5])
    found = read_study(tmp_path)
    ((line,),) = [panel.series for panel in data.score_panels(found, data.pattern(found), ["text"])]
    reach = 3.182446 * (0.288675 / 2)  # Student's t with 3 degrees of freedom; differences 1, .5, 1, .5
    assert line.dots[1].gain == pytest.approx((6.25 - reach, 6.25 + reach), abs=1e-5)


def test_points_of_different_judges_stand_in_different_pictures(tmp_path: Path):
    folder = make_study(tmp_path / "s", [{"beta": 0.1}], n=2, references=False)
    make_point(folder, {"beta": 0.2}, n=2, judge="gemini")
    kinds = [(kind.order, part.heading, number) for kind, part, number in figures._pictures(read_study(folder))]
    of_scores = [picture for picture in kinds if picture[0] == 20]
    assert [number for _, _, number in of_scores] == [1, 2]
    assert ["oracle" in heading for _, heading, _ in of_scores] == [False, True]
    assert [heading for order, heading, _ in kinds if order == 40] == [""]


def test_a_plain_picture_has_its_texts_in_a_file_alone(tmp_path: Path, monkeypatch):
    read = study(tmp_path, [{"beta": 0.1}], n=2, references=False)
    kind = StudyFigure(
        lambda study: True,
        lambda study: {"scores": dots.scores(study, data.dot_rows(study, data.pattern(study)))},
        lambda name: "Scores.",
    )
    monkeypatch.setattr(figures, "kinds", lambda study: [kind])
    drawn = []
    monkeypatch.setattr(style, "save_figure", lambda figure, path: drawn.append(figure) or path)
    for plain in (False, True):
        figures.draw_figures(read, tmp_path / str(plain), Drawing(plain=plain))
    titled, plain_figure = drawn
    assert (titled.get_suptitle(), plain_figure.get_suptitle(), plain_figure.get_supxlabel()) == (
        "Scores\nstudy study, model nano, DPO",
        "",
        "",
    )
    texts = [(tmp_path / name / "scores.txt").read_text() for name in ("False", "True")]
    assert texts[0] == texts[1]
    assert "n = 2 items" in texts[0]


def test_pictures_that_are_not_drawn_again_are_removed(tmp_path: Path, monkeypatch):
    read = study(tmp_path, [{"beta": 0.1}], n=2, references=False)
    for name in ("old", "new"):
        kind = StudyFigure(
            lambda study: True, lambda study, name=name: {name: style.new_figure(1, 1)}, lambda name: "A."
        )
        monkeypatch.setattr(figures, "kinds", lambda study, kind=kind: [kind])
        figures.draw_figures(read, tmp_path / "figures", Drawing(smooth=len(name) + (name == "old")))
    assert sorted(path.name for path in (tmp_path / "figures").glob("*.*") if path.name[0] != ".") == [
        "new.pdf",
        "new.png",
        "new.txt",
    ]
