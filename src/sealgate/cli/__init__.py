"""The command line: one file a command, thin. What it does, `import sealgate` can do too."""
