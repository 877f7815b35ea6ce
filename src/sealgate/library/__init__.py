"""What `import sealgate` offers: the abilities of the command line, typed. The names are exported by `sealgate` itself."""
