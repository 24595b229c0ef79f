"""Audits of judges: of the ratings that training pairs are made of, and of the judgments of a study's benchmarks."""
