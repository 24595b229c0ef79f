"""What Hydra loads of ours; it looks in this namespace only: a config source, a sweeper, a launcher."""
