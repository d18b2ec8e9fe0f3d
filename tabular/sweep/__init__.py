"""The sweep: search space, trials, child runs, executors."""
