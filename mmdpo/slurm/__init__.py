"""SLURM: submissions of a study, their jobs, and what became of them. Only rank.py imports torch."""
