"""The samples that a point answers."""

from __future__ import annotations

from pathlib import Path

from mmdpo.config.schema import Config
from mmdpo.evaluation.samples import SampleSet, sample_sets
from mmdpo.judge.rubric import load_rubric


def sample_sets_of(config: Config, scratch: Path | None = None) -> list[SampleSet]:
    """Return the sample sets of a point; only a trained model is asked for ratings.

    New samples are written into `scratch` if it is given, and else into the cache.
    """
    requested = {} if config.is_base else config.method.attributes
    rubric = load_rubric(config.judge.rubric)
    attributes = {name: requested[name] for name in rubric.attributes if name in requested}  # in the rubric's order
    return sample_sets(config.bench, attributes, config.model.attribute_template, scratch)
