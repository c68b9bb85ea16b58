"""What ``make bench`` runs: one module per group, each a list of side-by-side measurements in one process."""
