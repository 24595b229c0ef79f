"""From a model to scores: tasks, their samples, solvers, scorers and metrics, and the statistics of scores."""
