"""The command `orbmm`: one short file per subcommand."""
