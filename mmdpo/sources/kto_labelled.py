"""KTO's rows `{prompt, completion, label}` as they are, for methods that train on answers with a label each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mmdpo.sources.bad_rows import BadRow
from mmdpo.sources.formats import Format, NumberedRows
from mmdpo.sources.kto import COLUMNS, labelled
from mmdpo.sources.messages import ExampleRow
from mmdpo.sources.rows import fields
from mmdpo.sources.turns import Dialogue


@dataclass(frozen=True)
class LabelledRow(ExampleRow):
    """A row whose texts are valid; its images are not checked yet.

    Attributes:
        label: Whether the answer is desirable.
    """

    label: bool


def convert(rows: NumberedRows, seed: int) -> Iterator[tuple[int, LabelledRow | BadRow]]:
    """Yield each row; one with the prompt and completion of an earlier one cannot be used."""
    seen: dict[tuple[Dialogue, str], tuple[int, bool]] = {}
    for number, row in rows:
        try:
            dialogue, completion, label = labelled(fields(row))
            first, earlier = seen.setdefault((dialogue, completion.strip()), (number, label))
            if earlier is not label:
                raise BadRow("field 'completion': has both labels", f"row {first} has the other label")
            if first != number:
                raise BadRow("duplicate row", f"prompt and completion are those of row {first}")
        except BadRow as error:
            yield number, error
        else:
            yield number, LabelledRow(None, dialogue, completion, label)


LABELLED = Format(COLUMNS, convert)
