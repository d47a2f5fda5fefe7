"""What the model learns from: files, manifests, splits, pairs, and how IMEMNet-C is made from its sources."""
