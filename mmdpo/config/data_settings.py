"""Settings of `data`: prompts, preference pairs and the sampling of completions."""

from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Ge, Interval
from omegaconf import MISSING

from mmdpo.config.choices import PROMPT_FORMATS, OnBadRow, data_formats
from mmdpo.config.markers import AT_LEAST_ONE, NO_RESULT, NOT_NEGATIVE, POSITIVE, SEED, SHARE, OneOf


@dataclass
class SamplingConfig:
    """Sampling of the model's own answers to the training prompts (paper, 3.1)."""

    completions: Annotated[int, Ge(2)] = 4  # per prompt
    temperature: Annotated[float, POSITIVE] = 0.7
    top_p: Annotated[float, Interval(gt=0, le=1)] = 1.0
    max_new_tokens: Annotated[int, AT_LEAST_ONE] = 512
    batch_size: Annotated[int, AT_LEAST_ONE, NO_RESULT] = 16  # prompts


@dataclass
class SourceConfig:
    """Prompts of one source of raw data: `count` rows in a seeded order, after the first `offset`."""

    format: Annotated[str, OneOf(PROMPT_FORMATS.names)] = MISSING  # a file of mmdpo/sources
    path: str | None = None  # file, or folder of files
    image_root: str | None = None  # folder of the images that rows name
    count: Annotated[int | None, AT_LEAST_ONE] = None  # null for all
    offset: Annotated[int, NOT_NEGATIVE] = 0


@dataclass
class DataConfig:
    """Source of the training data: prompts, or a file of preference pairs or answers."""

    name: Annotated[str, NO_RESULT] = MISSING
    format: Annotated[str | None, OneOf(data_formats)] = None  # a file of mmdpo/sources; null if `sources` are given
    prompts: Annotated[int, AT_LEAST_ONE] = 1000  # number to generate, if `format` makes its own prompts
    text_share: Annotated[float | None, SHARE] = None  # of text-only examples in training; null: as they come
    text_prompts: Annotated[int | None, AT_LEAST_ONE] = None  # text-only ones beside `prompts`; null: as many
    round_parts: Annotated[int | None, Ge(2)] = None  # parts of the prompts, one per round; null: each round has all
    seed: Annotated[int, SEED] = 0  # of prompts, samples and pairs; the axis `seed` is that of training
    root: Annotated[str | None, NO_RESULT] = None  # folder for the paths of a preset: path: ${data.root}/rows
    sources: dict[str, SourceConfig] = field(default_factory=dict)  # of prompts, by name
    path: str | None = None  # file of pairs or answers, or a folder of files: .jsonl, .json, .csv or .parquet
    hub: str | None = None  # in place of `path`: OWNER/NAME on the Hugging Face Hub, or a folder in its layout
    hub_config: str | None = None  # a configuration of that data set, if it has several
    hub_split: str = "train"
    hub_revision: str | None = None  # branch, tag or commit; null: the newest
    image_root: str | None = None  # folder of the images that rows of this file name
    fields: dict[str, str] = field(default_factory=dict)  # the file's column by the format's field, if it differs
    on_bad_row: OnBadRow = OnBadRow.error
    sampling: SamplingConfig = field(default_factory=SamplingConfig)

    @property
    def text_prompts_made(self) -> int:
        """Return the number of text-only prompts to generate, if `format` makes its own prompts."""
        if self.text_share is None:
            return 0
        return self.prompts if self.text_prompts is None else self.text_prompts

    @property
    def is_own(self) -> bool:
        """Return whether the data are the user's pairs or answers, and not prompts to be answered."""
        return self.path is not None or self.hub is not None
