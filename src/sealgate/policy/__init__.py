"""Which images, in which workloads, need which proof, and what happens otherwise: one model, several dialects."""
