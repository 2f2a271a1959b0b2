"""The coach's feed: facts for an assistant, of people who agreed, with their sources; and nothing for anyone else."""
