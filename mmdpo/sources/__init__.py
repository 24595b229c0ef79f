"""Raw data files read as prompts, preference pairs or answers to learn: one file per data format.

A file that defines `PROMPTS`, `PAIRS`, `EXAMPLES` or `SYNTHETIC` is a format, and `data.format` or
`data.sources.NAME.format` names it; mmdpo/sources/formats.py describes them, and docs/extending.md has an example.
"""
