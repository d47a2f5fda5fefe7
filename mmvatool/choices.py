"""Values that options of the command line and settings share. Imports nothing, so that `--help` is quick."""

SAMPLINGS = ("auto", "exact", "keyframes")  # which frame of a video is sampled for a step: see `mmvatool.media.sampling.pick`
MATCHES = ("absolute", "library")  # in what VA of queries and of tracks are compared: see `mmvatool.soundtracks.scale`
INTERLACED = ("deinterlace", "keep")  # what becomes of fields: see `mmvatool.media.coding.choose`
DEVICES = ("auto", "cpu", "cuda", "mps")
LIVES = ("still", "clip", "both")  # what is shown of a Live Photo: see `mmvatool.media.live`
