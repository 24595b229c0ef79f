"""Training of the two shipped miniature models: `python -m mmdpo.nano_models build`."""
