"""Sources of prompts that a command line adds to those of a preset."""

import pytest

from mmdpo.config.data_settings import SourceConfig
from mmdpo.config.new_sources import with_new_sources, without_empty_sources
from mmdpo.entry.compose import compose_data
from mmdpo.entry.overrides import check_overrides
from mmdpo.errors import UserError

TEXT = SourceConfig(format="llava_sft", path="a=b.json", offset=2)


@pytest.mark.parametrize(
    "words",
    [
        ["+data.sources.text.format=llava_sft", "+data.sources.text.path='a=b.json'", "+data.sources.text.offset=2"],
        ["data.sources.text.path='a=b.json'", "+data.sources.text.format=llava_sft", "data.sources.text.offset=2"],
        ["+data.sources.text={format:llava_sft,path:'a=b.json',offset:2}"],
        ["+data.sources={text:{format:llava_sft,path:'a=b.json'}}", "++data.sources.text.offset=2"],
    ],
)
def test_a_source_is_added_to_those_of_the_preset(words):
    data, *_ = compose_data(["data=paper", "data.sources.lrv.count=5", *words])
    assert [*data.sources] == ["scigraphqa", "lrv", "text"]
    assert data.sources["text"] == TEXT
    assert data.sources["lrv"].count == 5


def test_a_recorded_command_is_the_typed_one():
    typed = ["data=paper", "+data.sources.text.format=llava_sft", "+data.sources.text.offset=2", "beta=0.2"]
    first, *keys, last = typed
    composed = with_new_sources(typed)
    assert composed == [first, "+data.sources={text:{}}", *(f"+{key}" for key in keys), last]
    assert without_empty_sources(composed) == typed


def test_other_words_stay_as_they_are():
    words = ["-m", "data=paper", "data.sources.lrv.count=1,2", "+model.lr.mine=1e-3"]
    assert with_new_sources(words) == words
    with pytest.raises(UserError, match=r"type \+data\.sources\.text\.path=x"):
        check_overrides(["data=paper", "data.sources.text.path=x"])


@pytest.mark.parametrize(
    ("word", "advice"),
    [
        ("+data.sources.text.count=abc", "data.sources.text.count=VALUE"),
        ("+data.sources.text.formt=lrv", "data.sources.text.formt: unknown key"),
        ("data.sources={text:3}", "+data.sources.NAME.format=VALUE"),
    ],
)
def test_a_wrong_value_names_what_to_type(word, advice):
    with pytest.raises(UserError) as caught:
        check_overrides(["data=paper", word])
    assert advice in str(caught.value)
