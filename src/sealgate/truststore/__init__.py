"""Where trust roots come from: files, TUF, the environment."""
