"""The index of music libraries: its tables, and how it is brought up to date."""
