"""`xengym/Cluster-v0` and `xengym/Datacenter-v0`: an agent that moves domains between hosts."""
