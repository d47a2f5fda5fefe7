"""Values that options of the command line and settings share. Imports nothing, so that `--help` is quick."""

SAMPLINGS = ("auto", "exact", "keyframes")  # which frame of a video is sampled for a step: see `mmvatool.media.sampling.pick`
DEVICES = ("auto", "cpu", "cuda", "mps")
