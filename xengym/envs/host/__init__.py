"""`xengym/Host-v0`: tune the scheduler of one host."""
