"""The command line. Each command is a module that imports what it needs when it runs: help is quick."""
