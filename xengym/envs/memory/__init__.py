"""`xengym/Memory-v0`: how much of a host's memory each guest has, while what they need changes."""
