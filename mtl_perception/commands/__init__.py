"""The `mtl` command: one file per subcommand, with its arguments and what it prints."""
