"""`python -m charthouse`."""

from charthouse.operating.cli import main

main()
