"""mmvatool: valence and arousal of pictures, music and words, and videos cut by them."""

__version__ = "0.1.0"
