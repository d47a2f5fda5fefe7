"""The index of music libraries: what is kept of every track, and how it is brought up to date."""
