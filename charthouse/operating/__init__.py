"""What an operator runs: the command line, the embedded night, the doctor, reports, and the processes they start."""
