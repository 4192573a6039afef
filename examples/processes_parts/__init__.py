"""Parts of examples/many_processes.py: the launcher, what a process does, two ways to train."""
