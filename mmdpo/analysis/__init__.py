"""Tables, figures, statistics and reports from the files of a study; nothing is computed that a run should compute.

Everything here reads what a sweep wrote to `outputs/<study>/`, also while it runs, and imports neither
torch nor transformers. Plotting and statistics libraries are imported where they are used, so that
`python -m mmdpo status` starts at once.
"""
