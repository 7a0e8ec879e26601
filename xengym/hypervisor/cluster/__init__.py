"""Several hosts and the domains that move between them, at either of two fidelities."""
