"""The paper's side study (its figure 3): agreement of a judge's ratings with people's preferences.

The two answers of a preference pair are rated like any completions. A row of the table has the preference, coded
1 or 2, and per attribute the first answer's rating minus the second's.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path

from mmdpo.files import atomic_write, spreadsheet_cell
from mmdpo.records import Annotation, Completion, PreferencePair, Prompt, context, read_records

TABLE = "differences.csv"


def two_answers(pairs: Iterable[PreferencePair], seed: int) -> Iterator[tuple[Prompt, list[Completion]]]:
    """Yield each pair as a prompt with two completions in a seeded random order.

    Files differ in the order in which they store the preferred answer; the random order removes the difference.
    """
    for pair in pairs:
        chosen_first = preferred(pair.id, seed) == 1
        texts = (pair.chosen, pair.rejected) if chosen_first else (pair.rejected, pair.chosen)
        prompt = Prompt(pair.id, pair.question, **context(pair))
        yield prompt, [Completion(pair.id, index, text) for index, text in enumerate(texts)]


def preferred(pair_id: str, seed: int) -> int:
    """Return which of the `two_answers` people preferred, 1 or 2."""
    return 1 if sha256(f"coin {seed} {pair_id}".encode()).digest()[0] % 2 == 0 else 2


def write_differences(folder: Path, seed: int, attributes: Sequence[str]) -> None:
    """Write the table of a folder's annotations beside them.

    Args:
        folder: Holds annotations.jsonl.
        seed: The seed of `two_answers`.
        attributes: The rubric's attributes, one column each.
    """
    with atomic_write(folder / TABLE) as aside, aside.open("w", encoding="utf-8", newline="") as out:
        table = csv.writer(out)
        table.writerow(["id", "preference", *attributes])
        for annotation in read_records(folder / "annotations.jsonl", Annotation):
            first, second = annotation.ratings
            gaps = [first[name] - second[name] for name in attributes]
            table.writerow([spreadsheet_cell(annotation.prompt_id), preferred(annotation.prompt_id, seed), *gaps])
