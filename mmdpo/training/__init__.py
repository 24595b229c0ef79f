"""Training: preference pairs and a base model become an adapter."""
