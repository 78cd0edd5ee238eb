"""What is computed once: the cache, what determines a result, sweeps, and parameters."""
