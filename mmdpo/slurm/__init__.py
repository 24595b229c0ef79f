"""SLURM: submissions of a study, their jobs, and the states of their tasks. Only worker.py imports torch."""
