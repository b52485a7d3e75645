"""The job: runs, sweeps, proofs, enrichment, signals."""
