"""`xengym/WanMigration-v0`: one migration between two sites, whose rate, throttle and stop an agent decides about."""
