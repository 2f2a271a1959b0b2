"""`python -m charthouse`."""

from charthouse.cli import main

main()
