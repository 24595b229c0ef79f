"""Vision-language models: loading, chat templates, generation."""
