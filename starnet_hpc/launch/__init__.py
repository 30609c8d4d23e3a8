"""Starting stages: in order, as jobs, on this machine or on a cluster."""
