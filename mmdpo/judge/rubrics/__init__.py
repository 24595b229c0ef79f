"""Rubrics, one file each, which defines `RUBRIC`; `judge.rubric` names the file.

mmdpo/judge/rubric.py describes what a rubric holds, and docs/extending.md has an example.
"""
