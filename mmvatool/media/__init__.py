"""All that touches decord, ffmpeg and moviepy: probing, reading and rendering. Knows nothing of the model."""
