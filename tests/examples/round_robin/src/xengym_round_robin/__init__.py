"""Two schedulers for xengym: round-robin from the ground up, and least-served on the shared queue."""
