"""The trainer's own commands, which the application takes into its command line."""
