"""Training rows of the miniature models, from their own split."""

from random import Random

import pytest

from mmdpo.nano.splits import split_of
from mmdpo.nano_models.conversations import DataMix, image_row, text_row


def test_training_rows_are_of_the_base_split(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = split_of

    def watched(text: str) -> str:
        asked.append(text)
        return real(text)

    monkeypatch.setattr("mmdpo.nano.splits.split_of", watched)
    rng = Random(0)
    for _ in range(20):
        asked.clear()
        image_row(DataMix(1, 1, 3), rng)
        assert [real(text) for text in asked][-1] == "base"
        assert {real(text) for text in asked[:-1]}.isdisjoint({"base"})
        asked.clear()
        text_row(DataMix(1, 1, 3), rng)
        assert asked
        assert real(asked[-1]) == "base"
