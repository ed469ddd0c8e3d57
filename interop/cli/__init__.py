"""The subcommands of `ietf-p2p`: a module each, exporting `command`, imported when it is called."""
