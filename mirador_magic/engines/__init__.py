"""Where the models run."""
