"""From completions to ratings."""
