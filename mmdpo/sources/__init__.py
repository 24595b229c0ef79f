"""From raw data to prompts."""
