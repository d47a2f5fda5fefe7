"""TVSum: its protocol and its files."""
