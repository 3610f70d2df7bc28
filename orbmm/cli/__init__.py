"""The command `orbmm`: one file per subcommand."""
