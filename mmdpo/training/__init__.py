"""Training of adapters on preference pairs or answers."""
