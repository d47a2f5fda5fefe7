"""Training data: files, manifests, splits, pairs, and the building of data folders from their sources."""
