"""One pipeline a file, readable top to bottom: from a path to a file."""
