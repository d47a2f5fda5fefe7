"""The trainer's commands, which the application adds to its command line."""
