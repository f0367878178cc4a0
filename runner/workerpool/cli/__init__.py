"""The `workerpool` command: one module per group of subcommands, found through entry points."""
