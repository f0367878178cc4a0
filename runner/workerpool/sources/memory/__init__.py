"""A complete queue engine in memory: what tests of applications run on, under a clock of their own."""
