"""Looks at the files of a study and never computes a result: tables, figures, statistics, report.

Everything here reads what a sweep left in `outputs/<study>/`, also while it runs, and imports neither
torch nor transformers. Plotting and statistics libraries are imported where they are used, so that
`python -m mmdpo status` starts at once.
"""
