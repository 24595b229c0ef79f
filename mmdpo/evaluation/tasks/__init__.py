"""Benchmarks, one file each, which defines `TASK`; `bench.tasks` names the files.

mmdpo/evaluation/task.py describes what a task declares, and docs/extending.md has an example.
"""
