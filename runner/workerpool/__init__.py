"""WorkerPool: write handlers, run them as background workers that scale themselves."""
