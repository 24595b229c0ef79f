"""Rubrics, one file each, which defines `RUBRIC`; `judge.rubric` names the file."""
