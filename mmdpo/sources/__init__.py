"""Raw data files read as prompts, preference pairs or answers to learn: one file per data format."""
