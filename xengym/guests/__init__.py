"""What domains do with the CPU time they get."""
