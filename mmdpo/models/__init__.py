"""Vision-language models: where they lie, how they are loaded, how a prompt is laid out for them."""
