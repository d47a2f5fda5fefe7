"""Valence and arousal of media: samples, predictions, curves, and what of them is kept from run to run."""
