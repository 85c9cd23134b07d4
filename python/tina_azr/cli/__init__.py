"""Command line of `tina-azr`: one file or folder for each command, loaded when the command is called."""
