"""Stages of one point: making data, training, evaluation, judging and sampling."""
