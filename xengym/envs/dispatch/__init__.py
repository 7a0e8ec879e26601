"""`xengym/Dispatch-v0`: schedule one host, decision by decision."""
