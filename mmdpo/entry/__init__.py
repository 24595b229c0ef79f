"""From a command line to checked configs: Hydra's composition, the checks, and the start of the run."""
