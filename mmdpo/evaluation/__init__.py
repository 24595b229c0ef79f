"""A model or adapter -> scores: generation, judging, one file a benchmark."""
