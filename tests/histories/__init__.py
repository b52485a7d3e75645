"""Random histories of an account, and what must hold after each run."""
