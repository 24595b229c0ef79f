"""Rubrics and ratings: what a judge is asked, and how its reply is parsed."""
