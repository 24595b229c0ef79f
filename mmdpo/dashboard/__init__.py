"""The dashboard of a study: one description of its panels, for W&B and for a page that needs no server."""
