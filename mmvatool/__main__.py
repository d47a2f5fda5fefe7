"""`python -m mmvatool`."""

from mmvatool.cli import main

main()
