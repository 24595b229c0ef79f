"""mmdpo's Hydra plugins, in the namespace that Hydra searches: a config source, a sweeper and a launcher."""
