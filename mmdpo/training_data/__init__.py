"""From annotations to a training set, one file per kind of set."""
