"""The typed schema of the configs, the choices and ranges of its fields, and the names of its keys."""
